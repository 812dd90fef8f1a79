"""An ASGI application below "/asgi" in our ROUTES: a2wsgi calls it from WSGI, on an event loop in a thread.

When: one handler waits for several slow things at once, or an ASGI application is to move in as it is. Not when: you
want many connections at once, for each still holds one of the server's threads until it is answered; nor for long
streams, for a2wsgi lets one whose client has left wait for ever.

When to move to ASGI instead: for WebSockets, for events that are sent to thousands of idle clients, or when most
handlers have become async. Then run an ASGI server, and keep this site in it with a2wsgi's other half,
`WSGIMiddleware(application)`; or put that server beside this one, and let nginx give each its paths. (asgiref has that
half only, `WsgiToAsgi`. a2wsgi sends no "lifespan": what an application does when it starts is yours to call.)

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
from app.router import router
from app.wsgi import MIDDLEWARES, ROUTES, chain
from recipes import serve

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


async def ask(name: str) -> str:
    """Return what another service says, after a while."""
    await asyncio.sleep(0.2)
    return f"{name} is well"


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what three services say, asked at the same time (ASGI 3.0, HTTP & WebSocket format)."""
    started = perf_counter()
    answers = await asyncio.gather(*map(ask, ("search", "stock", "prices")))
    body = dump({"answers": answers, "seconds": round(perf_counter() - started, 2)})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def raising(handler: WSGIApplication) -> WSGIApplication:
    """Raise the exception that a2wsgi answers itself, and hands to start_response, so that `errors` hears of it."""

    def raised(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: "OptExcInfo | None" = None) -> Callable[[bytes], object]:
            if exc_info and exc_info[1]:
                raise exc_info[1]
            return start_response(status, headers)

        return handler(environ, start)

    return raised


# Its thread starts here and does not survive a fork: each worker imports the app for itself, as deploy/ has it.
# What the application does after its answer holds the server's thread, and is cancelled after wait_time seconds.
bridge = cast("WSGIApplication", ASGIMiddleware(asgi, wait_time=10))
application = chain(MIDDLEWARES, router({**ROUTES, "/asgi/*": raising(bridge)}))

if __name__ == "__main__":
    serve(application)
