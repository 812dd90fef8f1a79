"""Configuration of the application log."""

import logging

from app.log_format import handler  # only with monitoring
from app.settings import settings


def configure_logging() -> None:
    """Send log records of LOG_LEVEL and above to stderr; raise SettingError for a bad setting."""
    level = settings().log_level.upper()
    # begin monitoring
    logging.basicConfig(level=level, handlers=[handler()])  # it then ignores the next line
    # end monitoring
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
