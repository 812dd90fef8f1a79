"""Logs every request's environ, secrets masked. To see what a server or a proxy really sends; not for production."""

import logging
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

SECRET = ("AUTHORIZATION", "COOKIE", "KEY", "PASSWORD", "SECRET", "TOKEN")


def log_environ(handler: WSGIApplication) -> WSGIApplication:
    """Log each variable of the environ, one a line, before the request is handled."""

    def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        lines = [f"  {name} = {shown(name, environ[name])}" for name in sorted(environ)]
        logger.info("environ:\n%s", "\n".join(lines))
        return handler(environ, start_response)

    return logged


def shown(name: str, value: object) -> str:
    """Return the variable's value as it may stand in a log: quoted, so that it cannot forge a line."""
    return "***" if any(word in name.upper() for word in SECRET) else repr(value)
