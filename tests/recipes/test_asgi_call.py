"""An ASGI application below "/asgi"."""

import asyncio
import json

from recipes import asgi_call
from tests.wsgi import call


def test_it_answers_with_what_it_has_asked():
    answers = json.loads(call(asgi_call.application, "/asgi").body)["answers"]
    assert answers == ["search is well", "stock is well", "prices is well"]


def test_it_waits_for_several_things_at_once(monkeypatch):
    all_three = asyncio.Barrier(3)

    async def ask(name):
        async with asyncio.timeout(10):
            await all_three.wait()

    monkeypatch.setattr(asgi_call, "ask", ask)
    assert call(asgi_call.application, "/asgi").status == 200


def test_it_has_the_request_id_of_our_middleware():
    assert call(asgi_call.application, "/asgi", HTTP_X_REQUEST_ID="seven").headers["X-Request-ID"] == "seven"


def test_our_middleware_logs_and_answers_its_failure(monkeypatch, caplog):
    async def fail(name):
        raise RuntimeError("this service is away")

    monkeypatch.setattr(asgi_call, "ask", fail)
    answer = call(asgi_call.application, "/asgi")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "this service is away" in caplog.text


def test_the_site_is_still_there():
    assert call(asgi_call.application, "/healthz").status == 200
