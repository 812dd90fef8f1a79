"""What the drills add to the end of app/wsgi.py: paths that do what an application should not."""

import time
from itertools import chain, repeat

LARGE = 1_000_000  # bytes: what no buffer on the way to a slow reader holds
normal = application  # type: ignore[used-before-def] # noqa: F821 (app/wsgi.py's own)
leaked: list[bytes] = []


def application(environ, start_response):
    """Answer as ever, but first do what the path says."""
    match environ["PATH_INFO"]:
        case "/drill/work":
            time.sleep(0.1)
        case "/drill/hang":
            time.sleep(3600)
        case "/drill/leak":
            leaked.append(b"x" * 200_000)
        case "/drill/allocate":
            while True:
                leaked.append(b"x" * 10_000_000)
        case "/drill/large":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(LARGE))])
            return [b"x" * LARGE]
        case "/drill/download":
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return chain.from_iterable([repeat(b"x" * 65_536, 300), [b"the end"]])
    environ["PATH_INFO"] = environ["PATH_INFO"].replace("/drill/", "/hello/")
    return normal(environ, start_response)
