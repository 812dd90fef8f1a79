"""Take the client's address, scheme and host from nginx's headers.

Only nginx reaches the socket, and nginx overwrites these headers, so they are true here. A server that clients reach
directly must not believe them: `python -m app` runs app.wsgi instead. Over a Unix socket neither server knows an
address or a port, so both backends get the same environ by this. werkzeug's ProxyFix does the same for four times the
instructions.
"""

from wsgiref.types import WSGIEnvironment


def believe_nginx(environ: WSGIEnvironment) -> None:
    """Set REMOTE_ADDR, SERVER_NAME, SERVER_PORT and wsgi.url_scheme (PEP 3333, environ Variables) where nginx asks."""
    host = environ.get("HTTP_X_FORWARDED_HOST")
    if host:  # the health check asks the socket itself
        environ["REMOTE_ADDR"] = environ["HTTP_X_FORWARDED_FOR"]
        environ["SERVER_NAME"] = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        environ["SERVER_PORT"] = environ["HTTP_X_FORWARDED_PORT"]
        environ["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
