"""recipes/asgi_call.py: an ASGI application at "/asgi"."""

import asyncio
import json

from recipes import asgi_call
from tests.wsgi import call


def test_response_lists_all_services():
    answers = json.loads(call(asgi_call.application, "/asgi").body)["answers"]
    assert answers == ["search is up", "stock is up", "prices is up"]


def test_services_are_requested_concurrently(monkeypatch):
    all_three = asyncio.Barrier(3)

    async def ask(name):
        async with asyncio.timeout(10):
            await all_three.wait()

    monkeypatch.setattr(asgi_call, "ask", ask)
    assert call(asgi_call.application, "/asgi").status == 200


def test_response_has_request_id():
    assert call(asgi_call.application, "/asgi", HTTP_X_REQUEST_ID="seven").headers["X-Request-ID"] == "seven"


def test_exception_is_logged_and_gets_error_page_of_site(monkeypatch, caplog):
    async def fail(name):
        raise RuntimeError("this service is down")

    monkeypatch.setattr(asgi_call, "ask", fail)
    answer = call(asgi_call.application, "/asgi")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "this service is down" in caplog.text
    assert "this service is down" not in answer.text


def test_other_routes_still_work():
    assert call(asgi_call.application, "/healthz").status == 200
