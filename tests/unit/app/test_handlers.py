"""The application in process: each route through the default chain."""

import json
import os
import socket
import sys
from html import escape

import pytest

from app.handlers import health
from app.settings import settings
from app.wsgi import application
from tests.wsgi import call

PAGES = {"/": "It serves.", "/about": "Where to begin"}
JSON = {"CONTENT_TYPE": "application/json"}


@pytest.mark.parametrize("name", ["Zoë", "a b", "<b>"])
def test_hello_greets(name):
    assert f"Hello, {escape(name)}!" in call(application, f"/hello/{name}").text


@pytest.mark.parametrize(("path", "text"), PAGES.items())
def test_page_shows_backend_release_and_request_id(path, text):
    answer = call(application, path, HTTP_X_REQUEST_ID="the-id")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for part in (text, settings().backend, settings().release, "the-id", " ms</strong>"):
        assert part in answer.text


def test_page_footer_shows_worker_instance_and_milliseconds(monkeypatch):
    monkeypatch.setattr("app.handlers.pages.perf_counter", iter([5.0, 6.5]).__next__)
    foot = call(application, "/").text.partition("<footer>")[2]
    for part in (f"worker <strong>{os.getpid()}<", f"<strong>{socket.gethostname()}<", "<strong>1500.00 ms<"):
        assert part in foot


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
    [b"", b"{", b"{'a': 1}", b"nul", b"\xff", b'{"a": NaN}', b"1e999", b"[" * 100_000],
    ids=lambda body: repr(body[:12]),
)
def test_echo_of_invalid_json_gets_400_with_reason(body):
    answer = call(application, "/echo", "POST", body, **JSON)
    assert answer.status == 400
    detail = json.loads(answer.body)["detail"]
    assert detail.startswith("The body is not JSON: ")
    assert ("NaN is not a JSON value" in detail) == (b"NaN" in body)


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


def test_healthz_and_readyz_are_ok():
    assert json.loads(call(application, "/healthz").body) == {"status": "ok"}
    assert json.loads(call(application, "/readyz").body) == {"status": "ok", "checks": {}}


@pytest.mark.parametrize("check", [lambda: False, lambda: 1 / 0, sys.exit])
def test_failed_readiness_check_is_named_in_503(check, monkeypatch):
    monkeypatch.setitem(health.CHECKS, "cache", lambda: True)
    monkeypatch.setitem(health.CHECKS, "database", check)
    answer = call(application, "/readyz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "unavailable", "checks": {"cache": True, "database": False}}


def test_readiness_check_that_raises_is_logged_with_traceback(monkeypatch, caplog):
    monkeypatch.setitem(health.CHECKS, "database", lambda: 1 / 0)
    call(application, "/readyz")
    assert caplog.messages == ["readiness check 'database' failed"]
    assert "ZeroDivisionError" in caplog.text


def test_version_lists_release_backend_size_and_instance():
    answer = json.loads(call(application, "/version").body)
    assert answer.keys() == {"release", "backend", "workers", "threads", "instance", "worker"}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nope", 404), ("PUT", "/", 405), ("GET", "/echo", 405)]
)
def test_error_response_has_request_id(method, path, status):
    answer = call(application, path, method)
    assert answer.status == status
    assert answer.headers["X-Request-ID"] == json.loads(answer.body)["request_id"]
