"""URLs built from route keys."""

from urllib.parse import unquote

import pytest

from app.router import router
from app.urls import url_for
from tests.wsgi import call


@pytest.mark.parametrize(
    ("key", "arguments", "url"),
    [
        ("/", {}, "/"),
        ("/about", {}, "/about"),
        ("/café", {}, "/caf%C3%A9"),
        ("/hello/{name}", {"name": "Zoë B"}, "/hello/Zo%C3%AB%20B"),
        ("/hello/{name}", {"name": "50%?#"}, "/hello/50%25%3F%23"),
        ("/hello/{name}", {"name": "a+b@c:d;e"}, "/hello/a+b@c:d;e"),
        ("/a/{x}/b/{y}", {"x": 1, "y": 2}, "/a/1/b/2"),
    ],
)
def test_url_has_quoted_arguments(key, arguments, url):
    assert url_for(key, **arguments) == url


@pytest.mark.parametrize("name", ["Zoë", "a b", "%2F", "+", "{x}", "名", "a.b", "..."])
def test_router_decodes_url_to_same_arguments(name):
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgiorg.routing_args"][1]["name"].encode()]

    path = unquote(url_for("/hello/{name}", name=name))
    assert call(router({"/hello/{name}": handler}), path).text == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_argument_that_is_no_segment_raises_value_error(name):
    with pytest.raises(ValueError, match=r"^name is .*: a path segment cannot be "):
        url_for("/hello/{name}", name=name)


@pytest.mark.parametrize("arguments", [{}, {"who": "x"}, {"name": "x", "who": "y"}])
def test_wrong_argument_names_raise_value_error(arguments):
    with pytest.raises(ValueError, match=r"route '/hello/\{name\}' needs the arguments \['name'\], but got "):
        url_for("/hello/{name}", **arguments)
