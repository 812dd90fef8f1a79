"""Take the client's address, scheme and host from nginx's headers.

These headers are correct, because only nginx reaches the socket, and nginx overwrites them. A server that clients reach
directly must not use this module: `python -m app` runs app.wsgi instead. Over a Unix socket, neither server knows the
client's address and port. werkzeug's ProxyFix does the same with four times the instructions.

Where nginx compresses a response, it makes a strong ETag weak: W/"x" for "x". The application knows only "x".
"""

import re
from wsgiref.types import WSGIEnvironment

from deploy.server.memo import Memo

ETAG = re.compile(r'(?:W/)?("[^"]*")')  # RFC 9110, 8.8.3
PORTS = {"http": "80", "https": "443"}


def believe_nginx(environ: WSGIEnvironment) -> None:
    """Set REMOTE_ADDR, SERVER_NAME, SERVER_PORT and wsgi.url_scheme (PEP 3333, environ Variables) from nginx.

    A missing header has its default: the Host header, http, and the port in the host or of the scheme. nginx therefore
    omits most of them, because each header costs gunicorn 5 µs.
    """
    address = environ.get("HTTP_X_FORWARDED_FOR")
    if address:  # the health check connects without nginx
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "http")
        name, port = hosts[environ.get("HTTP_HOST", "")]
        environ["REMOTE_ADDR"] = address
        environ["SERVER_NAME"] = name
        environ["SERVER_PORT"] = environ.get("HTTP_X_FORWARDED_PORT") or port or PORTS[scheme]
        environ["wsgi.url_scheme"] = scheme
    if "HTTP_IF_MATCH" in environ:  # a weak ETag never matches (RFC 9110, 13.1.1)
        environ["HTTP_IF_MATCH"] = ETAG.sub(r"\1", environ["HTTP_IF_MATCH"])


def name_and_port(host: str) -> tuple[str, str]:
    """Return the two parts of a Host header; the port can be empty."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and not host.endswith("]") else (host, "")


hosts = Memo(name_and_port)
