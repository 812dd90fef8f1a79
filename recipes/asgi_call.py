"""Mount an ASGI application at "/asgi": a2wsgi runs it on an event loop in a thread.

Use it if one handler waits for several slow services at once, or to mount an existing ASGI application unchanged.
Do not use it for many connections: each request holds a server thread until it is answered. Do not use it for long
streams: if the client disconnects, a2wsgi blocks the stream forever. a2wsgi sends no "lifespan" events, so call the
application's startup code yourself.

Move to an ASGI server for WebSockets, for events to thousands of idle clients, or if most handlers are async. Run this
site on it with a2wsgi's `WSGIMiddleware(application)`, or run both servers and divide the paths between them in nginx.

Run: `python -m recipes.asgi_call`, and open /asgi. Needs: a2wsgi (requirements/recipes.txt).
"""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from a2wsgi import ASGIMiddleware
from a2wsgi.asgi_typing import Receive, Scope, Send

from app.headers import Headers
from app.response import dump
from recipes import serve, site

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


async def ask(name: str) -> str:
    """Return the status of another service, after 0.2 seconds."""
    await asyncio.sleep(0.2)
    return f"{name} is up"


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Request the status of three services concurrently and return all three (ASGI 3.0, HTTP & WebSocket format)."""
    started = perf_counter()
    answers = await asyncio.gather(*map(ask, ("search", "stock", "prices")))
    body = dump({"answers": answers, "seconds": round(perf_counter() - started, 2)})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def raising(handler: WSGIApplication) -> WSGIApplication:
    """Raise the exception that a2wsgi passes to start_response, so that the `errors` middleware handles it."""

    def raised(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: "OptExcInfo | None" = None) -> Callable[[bytes], object]:
            if exc_info and exc_info[1]:
                raise exc_info[1]
            return start_response(status, headers)

        return handler(environ, start)

    return raised


# The event loop's thread starts here and does not survive a fork. In deploy/, workers import the app after the fork.
# Work after the response holds the server's thread. a2wsgi cancels it after wait_time seconds.
bridge = raising(cast("WSGIApplication", ASGIMiddleware(asgi, wait_time=10)))

# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/asgi/*": bridge})


if __name__ == "__main__":
    serve(application)
