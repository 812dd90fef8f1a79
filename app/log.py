"""The application's log."""

import logging

from app.settings import settings


def configure_logging() -> None:
    """Log to stderr from LOG_LEVEL on; raise SettingError for a bad setting."""
    logging.basicConfig(level=settings().log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
