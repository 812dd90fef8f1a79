"""Sends gunicorn's own messages to the application's log (app/log_format.py)."""
# pyright: reportMissingTypeStubs=none, reportUnknownMemberType=none

from gunicorn.config import Config
from gunicorn.glogging import Logger

from app.log import configure_logging


class GunicornLog(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's logger, without its own handler and format."""

    def setup(self, cfg: Config) -> None:
        """Replace the handler."""
        super().setup(cfg)
        configure_logging()
        self.error_log.handlers.clear()
        self.error_log.propagate = True
