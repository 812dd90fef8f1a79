"""Every setting of the application, with its default and its allowed values. Only this module reads os.environ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.variables import choice, integer

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, with their defaults."""

    backend: str = "unknown"  # the server: gunicorn or uwsgi; each image sets it
    release: str = "dev"  # the name of this release; the image sets it
    log_level: str = "info"
    max_body_bytes: int = 1_048_576  # nginx has the same limit; a test compares the defaults
    static_dir: Path = Path(__file__).parent / "static"  # for development; a release has built files


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raise SettingError for the first bad value."""
    default = Settings()
    return Settings(
        backend=environ.get("BACKEND") or default.backend,
        release=environ.get("RELEASE") or default.release,
        log_level=choice(environ, "LOG_LEVEL", default.log_level, LOG_LEVELS),
        max_body_bytes=integer(environ, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1_073_741_824),
        static_dir=Path(environ.get("STATIC_DIR") or default.static_dir),
    )


@cache
def settings() -> Settings:
    """Return the settings of this process, read at the first call; raise SettingError for a bad value."""
    return read(os.environ)
