"""Server-sent events (HTML standard, 9.2): messages from the server to browsers, through all workers and deploys.

Use it for notifications and progress. Each stream holds a thread (docs/request.md, Long requests). For messages in both
directions, or thousands of browsers, run a WebSocket server beside the app (docs/your-app.md).

A stream ends after SECONDS. The browser opens the next one by itself, and sends the id of the last event, so that no
event is lost or sent twice. So a deploy cuts no stream, and the thread of a browser that is gone is soon free. If no
thread can be spared, a stream ends at once, and the browser tries again.

The events are in a SQLite file (DATA_DIR). On several machines, use a table of your database. Everybody can read and
send events here: combine the recipe with recipes/sessions.py or recipes/authentication.py.

Run: `python -m recipes.events`, `curl -N localhost:8000/events`, and in another terminal
`curl localhost:8000/events --json '"Hello."'`. In a page: `new EventSource("/events").onmessage = event => ...`.
Needs: no additional packages.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from http import HTTPStatus
from threading import BoundedSemaphore
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app.request import json_body, media_type
from app.response import dump, error, json
from app.settings import settings
from recipes import serve, site

# Less than the 30 seconds that a server which stops waits for its requests, and that nginx waits for the next event.
SECONDS = 20
POLL = 0.5  # seconds between two looks for new events
RETRY = 1000  # milliseconds until the browser opens the next stream
KEPT = 1000  # events, for browsers that were away
EVENT_BYTES = 4096


def follow(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send the events after the browser's last one, or only new ones, as they occur."""
    headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]
    start_response("200 OK", headers)
    return stream(environ.get("HTTP_LAST_EVENT_ID", ""))


def stream(last_seen: str) -> Iterator[bytes]:
    """Yield events for SECONDS. The browser remembers the id of the first message, which is no event."""
    with closing(database()) as events:
        [newest] = events.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
        # An id is not to be trusted. One from the future would wait until the events have reached it.
        last = min(int(last_seen), newest) if last_seen.isdecimal() and len(last_seen) < len(str(2**63)) else newest
        yield f"retry: {RETRY}\nid: {last}\n\n".encode()
        if not places().acquire(blocking=False):
            return
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                # All at once: a statement that waits for a slow client would lock the table.
                for number, data in events.execute("SELECT * FROM event WHERE id > ? ORDER BY id", [last]).fetchall():
                    yield f"id: {number}\ndata: {data}\n\n".encode()
                    last = number
                time.sleep(POLL)
        finally:
            places().release()


def send(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send the JSON value in the body as an event; answer 415 to forms, which other sites can send, 413 or 400."""
    if media_type(environ) != "application/json":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.")
    try:
        data = dump(json_body(environ)).decode()
    except (ValueError, ClientDisconnected):
        return error(environ, start_response, HTTPStatus.BAD_REQUEST, "Send a JSON value.")
    except RequestEntityTooLarge:
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if len(data) > EVENT_BYTES:
        return error(environ, start_response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return json(start_response, {"id": publish(data)}, HTTPStatus.CREATED)


def publish(data: str) -> int:
    """Append an event for all streams and return its id. Data is JSON: a line break in it would begin another field."""
    with closing(database()) as events:
        [number] = events.execute("INSERT INTO event (data) VALUES (?) RETURNING id", [data]).fetchone()
        events.execute("DELETE FROM event WHERE id <= ?", [number - KEPT])
    return int(number)


def database() -> sqlite3.Connection:
    """Return a connection to the events, which all workers and releases share."""
    settings().data_dir.mkdir(parents=True, exist_ok=True)
    events = sqlite3.connect(settings().data_dir / "events.sqlite3", isolation_level=None)
    events.execute("CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT)")
    return events


@cache
def places() -> BoundedSemaphore:
    """Return the places for streams in this worker. One thread remains for other requests."""
    return BoundedSemaphore(max(1, settings().threads - 1))


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/events": {"GET": follow, "POST": send}})

if __name__ == "__main__":
    serve(application)
