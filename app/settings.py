"""The application's settings, with defaults and allowed values. No other module in app/ reads os.environ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.variables import (
    choice,
    fraction,  # only with monitoring
    integer,
    url,  # only with monitoring
    with_secrets,
)

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
# begin monitoring
LOG_FORMATS = ("auto", "json", "text")
SAMPLERS = ("traceidratio", "parentbased_traceidratio")  # deploy/server/tracing.py
# end monitoring


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process."""

    backend: str = "unknown"  # the server, gunicorn or uwsgi: set in each image
    release: str = "dev"  # the name of this release: set in the image
    workers: int = 1  # of the whole server: set by the launcher
    threads: int = 1  # in each worker: set by the launcher
    log_level: str = "info"
    # begin monitoring
    log_format: str = "auto"  # text in a terminal, otherwise json
    log_socket: int = 0  # the descriptor to which records are sent: set by the launcher
    metrics_port: int = 0  # at which deploy/server/exporter.py serves the metrics: 0 is off
    traces_endpoint: str = ""  # to which deploy/server/tracing.py sends spans: none is off
    traces_rate: float = 1.0  # the share of the requests that have a span
    traces_sampler: str = "traceidratio"
    service_name: str = "wsgi-starter"  # in the traces
    sentry_dsn: str = ""  # to which deploy/server/error_reports.py sends exceptions: none is off
    # end monitoring
    max_body_bytes: int = 1_048_576  # nginx has the same default: a test compares them
    static_dir: Path = Path(__file__).parent / "static"  # the source files, for development; an image sets STATIC_DIR
    data_dir: Path = Path(__file__).parents[1] / "data"  # what the app keeps; an image sets DATA_DIR


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raise SettingError for the first bad value."""
    default = Settings()
    return Settings(
        backend=environ.get("BACKEND") or default.backend,
        release=environ.get("RELEASE") or default.release,
        workers=integer(environ, "SERVER_WORKERS", default.workers, 1, 1024),
        threads=integer(environ, "SERVER_THREADS", default.threads, 1, 1024),
        log_level=choice(environ, "LOG_LEVEL", default.log_level, LOG_LEVELS),
        # begin monitoring
        log_format=choice(environ, "LOG_FORMAT", default.log_format, LOG_FORMATS),
        log_socket=integer(environ, "LOG_SOCKET", default.log_socket, 0, 1_048_576),
        metrics_port=integer(environ, "METRICS_PORT", default.metrics_port, 0, 65_535),
        traces_endpoint=url(environ, "OTEL_EXPORTER_OTLP_ENDPOINT", r"[^\s?#]+", "http://collector:4318"),
        traces_rate=fraction(environ, "OTEL_TRACES_SAMPLER_ARG", default.traces_rate),
        traces_sampler=choice(environ, "OTEL_TRACES_SAMPLER", default.traces_sampler, SAMPLERS),
        service_name=environ.get("OTEL_SERVICE_NAME") or default.service_name,
        sentry_dsn=url(environ, "SENTRY_DSN", r"[^\s/?#@]+@[^\s?#@]+/\d+", "https://KEY@sentry.example.org/1"),
        # end monitoring
        max_body_bytes=integer(environ, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1_073_741_824),
        data_dir=Path(environ.get("DATA_DIR") or default.data_dir),
        static_dir=Path(environ.get("STATIC_DIR") or default.static_dir),
    )


@cache
def settings() -> Settings:
    """Return this process's settings, read at the first call; raise SettingError for a bad value."""
    return read(environment())


def environment() -> dict[str, str]:
    """Return the environment with the secrets; raise SettingError for a bad line in a file of secrets."""
    return with_secrets(os.environ)
