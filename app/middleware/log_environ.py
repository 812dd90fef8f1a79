"""Log the environ of each request, with secrets masked. For debugging a server or proxy, not for production."""

import logging
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

SECRET = ("AUTHORIZATION", "COOKIE", "KEY", "PASSWORD", "SECRET", "TOKEN")


def log_environ(handler: WSGIApplication) -> WSGIApplication:
    """Log the environ, one variable per line, before the handler runs."""

    def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        lines = [f"  {name} = {shown(name, environ[name])}" for name in sorted(environ)]
        logger.info("environ:\n%s", "\n".join(lines))
        return handler(environ, start_response)

    return logged


def shown(name: str, value: object) -> str:
    """Return the value for the log: masked, or quoted so that it cannot forge a log line."""
    return "***" if any(word in name.upper() for word in SECRET) else repr(value)
