"""The demo's routes in process, through the middleware."""

import json
import os
import socket
from html import escape  # only with demo

import pytest

from app.handlers import pages
from app.page import environment
from app.settings import settings
from app.wsgi import application
from tests.wsgi import call

PAGES = {
    "/": "It serves.",
    "/about": "Where to begin",  # only with demo
}


# begin demo
JSON = {"CONTENT_TYPE": "application/json"}


@pytest.mark.parametrize("name", ["Zoë", "a b", "<b>"])
def test_hello_greets(name):
    assert f"Hello, {escape(name)}!" in call(application, f"/hello/{name}").text


# end demo
@pytest.mark.parametrize(("path", "text"), PAGES.items())
def test_page_shows_backend_release_and_request_id(path, text):
    answer = call(application, path, HTTP_X_REQUEST_ID="the-id")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for part in (text, settings().backend, settings().release, "the-id", " ms</strong>"):
        assert part in answer.text


def test_template_without_data_is_a_page(monkeypatch, tmp_path):
    (tmp_path / "own.html").write_text("<p>{{ instance }}</p>")
    monkeypatch.setattr(environment.loader, "searchpath", [str(tmp_path)])
    answer = call(pages.shows("own.html"), "/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text == f"<p>{socket.gethostname()}</p>"


def test_page_footer_shows_worker_instance_and_milliseconds(monkeypatch):
    monkeypatch.setattr("app.handlers.pages.perf_counter", iter([5.0, 6.5]).__next__)
    foot = call(application, "/").text.partition("<footer>")[2]
    for part in (f"worker <strong>{os.getpid()}<", f"<strong>{socket.gethostname()}<", "<strong>1500.00 ms<"):
        assert part in foot


# begin demo
@pytest.mark.parametrize(
    "value",
    [{}, [], None, True, 0, 1.5, "Zoë", "\ud800", {"a": [{"b": None}]}, 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_echo_returns_same_json(value):
    answer = call(application, "/echo", "POST", json.dumps(value).encode(), **JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer.body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a': 1}", b"nul", b"\xff", b'{"a": NaN}', b"1e999", b"[" * 100_000, b"[" * 101 + b"]" * 101],
    ids=lambda body: repr(body[:12]),
)
def test_echo_of_invalid_json_gets_400_without_the_text_of_an_exception(body):
    answer = call(application, "/echo", "POST", body, **JSON)
    assert answer.status == 400
    assert json.loads(answer.body)["detail"] == "The body is not JSON of at most 100 levels."


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_echo_of_other_media_type_gets_415(content_type):
    assert call(application, "/echo", "POST", b"{}", CONTENT_TYPE=content_type).status == 415


def test_echo_accepts_media_type_parameters():
    assert call(application, "/echo", "POST", b"{}", CONTENT_TYPE="Application/JSON; charset=utf-8").status == 200


def test_echo_accepts_body_up_to_the_limit():
    text = b'"' + b"x" * (settings().max_body_bytes - 2) + b'"'
    assert call(application, "/echo", "POST", text, **JSON).status == 200
    answer = call(application, "/echo", "POST", text + b" ", **JSON)
    assert answer.status == 413
    assert str(settings().max_body_bytes) in json.loads(answer.body)["detail"]


def test_stream_sends_chunks(monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    answer = call(application, "/stream")
    assert waits == [0.5] * 6
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.text.splitlines() == [f"chunk {number} of 7" for number in range(1, 8)]
    assert "Content-Length" not in answer.headers


# end demo
@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("PUT", "/", 405)])
def test_error_response_has_request_id(method, path, status):
    answer = call(application, path, method)
    assert answer.status == status
    assert answer.headers["X-Request-ID"] == json.loads(answer.body)["request_id"]
