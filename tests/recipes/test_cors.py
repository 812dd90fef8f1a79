"""recipes/cors.py: cross-origin resource sharing."""

import pytest

from recipes.cors import application, cors
from tests.wsgi import call

KNOWN = "http://localhost:3000"


def access(answer):
    """Return the Access-Control headers, without that prefix."""
    prefix = "access-control-"
    return {name[len(prefix) :]: value for name, value in answer.headers.items() if name.lower().startswith(prefix)}


def preflight(application, origin):
    return call(application, "/", "OPTIONS", HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")


def test_allowed_origin_can_read_response():
    answer = call(application, HTTP_ORIGIN=KNOWN)
    assert access(answer) == {"Allow-Origin": KNOWN, "Allow-Credentials": "true", "Expose-Headers": "X-Request-ID"}


@pytest.mark.parametrize(
    "origin",
    ["", "null", "*", "https://localhost:3000", "http://localhost:3000/", "http://localhost:30000", "http://evil.test"],
)
def test_other_origin_is_denied(origin):
    assert access(call(application, HTTP_ORIGIN=origin)) == {}
    answer = preflight(application, origin)
    assert (answer.status, access(answer)) == (204, {})


def test_response_varies_by_origin():
    for answer in (call(application), call(application, HTTP_ORIGIN=KNOWN), preflight(application, KNOWN)):
        assert "Origin" in answer.headers.get_all("Vary")


def test_preflight_lists_methods_and_headers():
    answer = preflight(application, KNOWN)
    assert answer.status == 204
    assert access(answer) == {
        "Allow-Origin": KNOWN,
        "Allow-Credentials": "true",
        "Allow-Methods": "GET, HEAD, POST",
        "Allow-Headers": "Content-Type",
        "Max-Age": "600",
    }


def test_ordinary_options_reaches_handler():
    assert call(application, "/", "OPTIONS", HTTP_ORIGIN=KNOWN).headers["Allow"] == "GET, HEAD, OPTIONS"


def test_allowed_origin_can_read_error():
    answer = call(application, "/missing", HTTP_ORIGIN=KNOWN)
    assert (answer.status, access(answer)["Allow-Origin"]) == (404, KNOWN)
    assert answer.headers.get_all("Vary") == ["Accept", "Origin"]


def test_credentials_are_off_by_default():
    assert "Allow-Credentials" not in access(preflight(cors([KNOWN])(application), KNOWN))


@pytest.mark.parametrize(
    "origin", [f"{KNOWN}\r\nSet-Cookie: a=b", f"{KNOWN}.evil.test", f"{KNOWN}@evil.test", KNOWN.upper()]
)
def test_origin_that_only_looks_known_is_not_repeated(origin):
    for answer in (call(application, HTTP_ORIGIN=origin), preflight(application, origin)):
        assert access(answer) == {}
        assert "Set-Cookie" not in answer.headers
