"""recipes/django_mount.py: a Django application at "/django"."""

import json

import pytest

from recipes.django_mount import application
from tests.wsgi import call


@pytest.mark.parametrize("path", ["/django", "/django/"])
def test_links_include_mount_point(path):
    assert "href='/django/hello/world'" in call(application, path).text


def test_response_has_request_id():
    answer = call(application, "/django/hello/world", HTTP_X_REQUEST_ID="seven")
    assert json.loads(answer.body) == {"hello": "world", "request_id": "seven"}
    assert answer.headers["X-Request-ID"] == "seven"


def test_exception_is_logged_and_gets_error_page_of_site(caplog):
    answer = call(application, "/django/fail")
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert [record.name for record in caplog.records] == ["app.middleware.errors"]
    assert "this view always fails" not in answer.text


def test_404_below_mount_point_is_from_django():
    assert call(application, "/django/missing").headers["Content-Type"] == "text/html; charset=utf-8"
    assert call(application, "/missing").headers["Content-Type"] == "application/problem+json"


def test_other_routes_still_work():
    assert call(application, "/healthz").status == 200


@pytest.mark.parametrize(
    "path", ["/django//evil.test", "//evil.test/django", "/django/..//evil.test", "/django\\evil.test"]
)
def test_no_redirect_leads_to_another_site(path):
    assert "evil" not in call(application, path).headers.get("Location", "")


def test_name_is_not_repeated_as_markup():
    answer = call(application, "/django/hello/<script>")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
