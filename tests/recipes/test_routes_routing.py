"""recipes/routes_routing.py: Routes instead of app/router.py."""

import json

import pytest

from recipes.routes_routing import application
from tests.wsgi import call


def test_path_arguments_reach_controller():
    assert json.loads(call(application, "/tags/2000/wsgi").body) == {"year": "2000", "tag": "wsgi"}


def test_urls_include_mount_point():
    assert json.loads(call(application, "/tags").body)[0] == "/tags/2000/wsgi"
    assert json.loads(call(application, "/tags", SCRIPT_NAME="/v1").body)[0] == "/v1/tags/2000/wsgi"


def test_url_is_quoted_and_path_is_decoded_as_utf_8():
    assert json.loads(call(application, "/tags").body)[1] == "/tags/2000/cr%C3%A8me%20br%C3%BBl%C3%A9e"
    assert json.loads(call(application, "/tags/2000/crème brûlée").body)["tag"] == "crème brûlée"


@pytest.mark.parametrize("path", ["/", "/tags/99/wsgi", "/tags/2000"])
def test_unknown_path_gets_404(path):
    answer = call(application, path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_unsupported_method_gets_405_and_lists_methods():
    answer = call(application, "/tags", method="DELETE")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/tags/2000/a\r\nSet-Cookie: a=b", "/tags/2000/<script>", "/tags/2000/%(x)s"])
def test_argument_reaches_the_controller_as_data_only(path):
    answer = call(application, path)
    assert json.loads(answer.body)["tag"] == path.removeprefix("/tags/2000/")
    assert answer.headers["Content-Type"] == "application/json"
    assert "Set-Cookie" not in answer.headers
