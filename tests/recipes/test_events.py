"""recipes/events.py: a stream of server-sent events."""

import json
import re

import pytest

from recipes import events
from recipes.events import application, publish
from tests.wsgi import call


@pytest.fixture(autouse=True)
def short(data_dir, monkeypatch):
    """End each stream after its first look for events."""
    monkeypatch.setattr(events, "SECONDS", 0.01)
    monkeypatch.setattr(events, "POLL", 0.02)
    events.places.cache_clear()
    yield
    events.places.cache_clear()


def send(value, content_type="application/json"):
    return call(application, "/events", "POST", json.dumps(value).encode(), CONTENT_TYPE=content_type)


def follow(last=""):
    """Return the id that the stream begins with, and its events."""
    answer = call(application, "/events", HTTP_LAST_EVENT_ID=last)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    first, *others = answer.text.split("\n\n")[:-1]
    parsed = [re.fullmatch("id: ([0-9]+)\ndata: (.+)", each).groups() for each in others]
    return re.fullmatch("retry: 1000\nid: ([0-9]+)", first)[1], [(int(n), json.loads(data)) for n, data in parsed]


def test_stream_continues_after_the_last_event_of_the_browser():
    assert follow() == ("0", [])
    assert [json.loads(send(word).body)["id"] for word in ("one", "two", "three")] == [1, 2, 3]
    assert follow("1") == ("1", [(2, "two"), (3, "three")])
    assert follow("3") == ("3", [])


def test_new_browser_gets_new_events_only():
    publish('"old"')
    assert follow() == ("1", [])


def test_id_that_is_not_ours_begins_with_new_events():
    publish('"one"')
    for last in ("99", "9" * 18, "9" * 30, "-1", "²", "1; DROP TABLE event", "1\n\ndata: x"):
        assert follow(last) == ("1", [])


def test_event_cannot_contain_another_event():
    text = "\n\nevent: other\ndata: x\r\rid: 9\u2028"
    send(text)
    assert follow("0") == ("0", [(1, text)])


def test_old_events_are_deleted(monkeypatch):
    monkeypatch.setattr(events, "KEPT", 2)
    for number in range(4):
        publish(str(number))
    assert follow("0") == ("0", [(3, 2), (4, 3)])


def test_stream_without_a_place_ends_at_once_and_returns_none():
    assert events.places().acquire(blocking=False)
    publish('"one"')
    assert follow("0") == ("0", [])  # the browser keeps its id, and tries again
    events.places().release()
    for _ in range(2):
        assert follow("0") == ("0", [(1, "one")])


def test_browser_that_leaves_gives_its_place_back():
    stream = events.stream("0")
    publish('"one"')
    assert b"one" in [next(stream), next(stream)][1]
    stream.close()
    assert follow("0")[1] == [(1, "one")]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'"x"', "text/plain", 415),  # a form of another site can send these types without CORS
        (b'"x"', "application/x-www-form-urlencoded", 415),
        (b"x", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'"' + b"x" * 4095 + b'"', "application/json", 413),
        (b'"' + b"x" * 2_000_000 + b'"', "application/json", 413),
    ],
)
def test_other_body_is_no_event(body, content_type, status):
    assert call(application, "/events", "POST", body, CONTENT_TYPE=content_type).status == status
    assert follow("0") == ("0", [])
