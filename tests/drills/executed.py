"""What a deployed site of the tests adds to app/wsgi.py: it records each execution of a request with an id."""

import os

EXECUTED = "/var/lib/assets/executed"  # in a volume that all releases share (tests/stack/site.py)
counted = application  # type: ignore[used-before-def] # noqa: F821 (app/wsgi.py's own)


def application(environ, start_response):
    """Record the request's id, and answer as ever; list the ids at /executed."""
    if identity := environ.get("HTTP_DRILL_ID"):
        with open(EXECUTED, "a") as file:  # noqa: PTH123
            file.write(f"{identity}\n")
    if environ["PATH_INFO"] == "/executed":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return open(EXECUTED, "rb") if os.path.exists(EXECUTED) else []  # noqa: PTH110, PTH123
    return counted(environ, start_response)
