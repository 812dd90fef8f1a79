"""Configuration of the application log."""

import logging

from app.settings import settings


def configure_logging() -> None:
    """Send log records of LOG_LEVEL and above to stderr; raise SettingError for a bad setting."""
    logging.basicConfig(level=settings().log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
