"""Take the client's address, scheme and host from nginx's headers.

These headers are correct, because only nginx reaches the socket, and nginx overwrites them. A server that clients reach
directly must not use this module: `python -m app` runs app.wsgi instead. Over a Unix socket, neither server knows the
client's address and port. werkzeug's ProxyFix does the same with four times the instructions.
"""

from wsgiref.types import WSGIEnvironment


def believe_nginx(environ: WSGIEnvironment) -> None:
    """Set REMOTE_ADDR, SERVER_NAME, SERVER_PORT and wsgi.url_scheme (PEP 3333, environ Variables) from nginx."""
    host = environ.get("HTTP_X_FORWARDED_HOST")
    if host:  # the health check connects without nginx
        environ["REMOTE_ADDR"] = environ["HTTP_X_FORWARDED_FOR"]
        environ["SERVER_NAME"] = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        environ["SERVER_PORT"] = environ["HTTP_X_FORWARDED_PORT"]
        environ["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
