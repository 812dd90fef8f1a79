"""A Django application below "/django"."""

import json

import pytest

from recipes.django_mount import application
from tests.wsgi import call


@pytest.mark.parametrize("path", ["/django", "/django/"])
def test_its_links_lead_below_the_mount_point(path):
    assert "href='/django/hello/world'" in call(application, path).text


def test_it_has_the_request_id_of_our_middleware():
    answer = call(application, "/django/hello/world", HTTP_X_REQUEST_ID="seven")
    assert json.loads(answer.body) == {"hello": "world", "request_id": "seven"}
    assert answer.headers["X-Request-ID"] == "seven"


def test_our_middleware_logs_and_answers_its_failure(caplog):
    answer = call(application, "/django/fail")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert [record.name for record in caplog.records] == ["app.middleware.errors"]


def test_its_404_is_its_own():
    assert call(application, "/django/missing").headers["Content-Type"] == "text/html; charset=utf-8"
    assert call(application, "/missing").headers["Content-Type"] == "application/problem+json"


def test_the_site_is_still_there():
    assert call(application, "/healthz").status == 200
