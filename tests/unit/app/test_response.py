"""Responses: headers, and errors in the format that the client accepts."""

import json
from http import HTTPStatus

import pytest

from app import response
from tests.wsgi import call


def test_html_has_type_and_length():
    answer = call(lambda environ, start_response: response.html(start_response, "<p>Zoë</p>"))
    assert (answer.status, answer.text) == (200, "<p>Zoë</p>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len("<p>Zoë</p>".encode()))


def test_html_can_have_another_status():
    assert call(lambda _, start_response: response.html(start_response, "", HTTPStatus.CREATED)).status == 201


def test_json_has_type_and_status():
    answer = call(lambda environ, start_response: response.json(start_response, {"a": [1, None]}, HTTPStatus.CREATED))
    assert (answer.status, json.loads(answer.body)) == (201, {"a": [1, None]})
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "value",
    ['"\\\n\u20ac\U0001f600', 1, -1.5e300, True, None, [], {}, (1, [2]), {"a": {1: "b", None: [1.0, False], 2.5: {}}}],
    ids=repr,
)
def test_json_is_that_of_the_standard_library(value):
    assert response.dump(value).decode() == json.dumps(value)


def test_invalid_json_value_begins_no_response():
    begun = []
    with pytest.raises(ValueError, match="JSON compliant"):
        response.json(lambda *arguments: begun.append(arguments), float("nan"))
    assert begun == []


def not_found(environ, start_response):
    return response.error(environ, start_response, HTTPStatus.NOT_FOUND, headers=[("X-Extra", "kept")])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("application/json, text/html;q=0.9", "application/problem+json"),
        ("image/png", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json;q=0.1, text/*", "text/html; charset=utf-8"),
    ],
)
def test_error_format_follows_accept_header(accept, content_type):
    answer = call(not_found, HTTP_ACCEPT=accept, HTTP_X_REQUEST_ID="the-id")
    assert (answer.status, answer.headers["Content-Type"]) == (404, content_type)
    assert "the-id" in answer.text
    assert (answer.headers["Vary"], answer.headers["X-Extra"]) == ("Accept", "kept")


def test_json_error_is_problem_details():
    answer = call(not_found, HTTP_X_REQUEST_ID="the-id")
    assert json.loads(answer.body) == {
        "title": "Not Found",
        "status": 404,
        "detail": "There is no page at this address.",
        "request_id": "the-id",
    }


def test_error_page_escapes_detail():
    def application(environ, start_response):
        return response.error(environ, start_response, HTTPStatus.BAD_REQUEST, "<script>")

    assert "&lt;script&gt;" in call(application, HTTP_ACCEPT="text/html").text
