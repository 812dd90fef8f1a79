"""recipes/werkzeug_routing.py: Werkzeug's routing instead of app/router.py."""

import json

import pytest

from recipes.werkzeug_routing import application
from tests.wsgi import call


def test_converter_returns_int():
    assert json.loads(call(application, "/years/2000").body) == {"year": 2000, "leap": True}


def test_urls_include_mount_point():
    assert json.loads(call(application, "/years/").body) == ["/years/1999", "/years/2000"]
    assert json.loads(call(application, "/years/", SCRIPT_NAME="/v1").body) == ["/v1/years/1999", "/v1/years/2000"]


def test_missing_slash_gets_redirect():
    answer = call(application, "/years")
    assert (answer.status, answer.headers["Location"]) == (308, "http://127.0.0.1/years/")


@pytest.mark.parametrize("path", ["/", "/years/99", "/years/two", "/years/2000/"])
def test_unknown_path_gets_404(path):
    answer = call(application, path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_websocket_handshake_gets_404():
    assert call(application, "/years/", HTTP_CONNECTION="Upgrade", HTTP_UPGRADE="websocket").status == 404


def test_unsupported_method_gets_405_and_lists_methods():
    answer = call(application, "/years/", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_head_has_no_body():
    answer = call(application, "/years/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["//evil.test/years", "/years//evil.test", "/years\\evil.test", "//evil.test//years"])
def test_no_redirect_leads_to_another_site(path):
    location = call(application, path).headers.get("Location", "http://127.0.0.1/")
    assert location.startswith("http://127.0.0.1/")
