"""Every setting of the application: name, default, what is allowed. Nothing else in app/ reads os.environ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.variables import choice, integer

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, with their defaults."""

    backend: str = "unknown"  # which server runs us; each image sets its own
    release: str = "dev"  # which release this is; the image sets it
    workers: int = 1  # the launcher sets both
    threads: int = 1
    log_level: str = "info"
    max_body_bytes: int = 1_048_576  # nginx is told the same; a test compares the defaults
    static_dir: Path = Path(__file__).parent / "static"  # a release's built files; these are for development


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings that `environ` holds; raise SettingError at the first that is not allowed."""
    default = Settings()
    return Settings(
        backend=environ.get("BACKEND") or default.backend,
        release=environ.get("RELEASE") or default.release,
        workers=integer(environ, "SERVER_WORKERS", default.workers, 1, 1024),
        threads=integer(environ, "SERVER_THREADS", default.threads, 1, 1024),
        log_level=choice(environ, "LOG_LEVEL", default.log_level, LOG_LEVELS),
        max_body_bytes=integer(environ, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1_073_741_824),
        static_dir=Path(environ.get("STATIC_DIR") or default.static_dir),
    )


settings = read(os.environ)
