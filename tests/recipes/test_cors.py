"""Cross-origin resource sharing."""

import pytest

from recipes.cors import application, cors
from tests.wsgi import call

KNOWN = "http://localhost:3000"


def access(answer):
    """Return the headers that grant something, without their common beginning."""
    prefix = "access-control-"
    return {name[len(prefix) :]: value for name, value in answer.headers.items() if name.lower().startswith(prefix)}


def preflight(application, origin, path="/"):
    return call(application, path, "OPTIONS", HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")


def test_a_known_origin_may_read_the_response():
    answer = call(application, HTTP_ORIGIN=KNOWN)
    assert access(answer) == {"Allow-Origin": KNOWN, "Allow-Credentials": "true", "Expose-Headers": "X-Request-ID"}


@pytest.mark.parametrize(
    "origin",
    ["", "null", "*", "https://localhost:3000", "http://localhost:3000/", "http://localhost:30000", "http://evil.test"],
)
def test_no_other_origin_may(origin):
    assert access(call(application, HTTP_ORIGIN=origin)) == {}
    answer = preflight(application, origin)
    assert (answer.status, access(answer)) == (204, {})


def test_every_response_says_that_it_varies_by_origin():
    for answer in (call(application), call(application, HTTP_ORIGIN=KNOWN), preflight(application, KNOWN)):
        assert "Origin" in answer.headers.get_all("Vary")


def test_a_preflight_is_answered_with_what_a_page_may_send():
    answer = preflight(application, KNOWN, "/echo")
    assert answer.status == 204
    assert access(answer) == {
        "Allow-Origin": KNOWN,
        "Allow-Credentials": "true",
        "Allow-Methods": "GET, HEAD, POST",
        "Allow-Headers": "Content-Type",
        "Max-Age": "600",
    }


def test_another_options_is_the_handlers():
    assert call(application, "/echo", "OPTIONS", HTTP_ORIGIN=KNOWN).headers["Allow"] == "OPTIONS, POST"


def test_a_page_may_read_an_error_too():
    answer = call(application, "/missing", HTTP_ORIGIN=KNOWN)
    assert (answer.status, access(answer)["Allow-Origin"]) == (404, KNOWN)
    assert answer.headers.get_all("Vary") == ["Accept", "Origin"]


def test_credentials_are_not_allowed_unless_asked_for():
    assert "Allow-Credentials" not in access(preflight(cors([KNOWN])(application), KNOWN))
