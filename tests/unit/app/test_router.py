"""Routing: the route for each path, its environ, and rejected tables."""

import pytest

from app.router import (
    RouteError,
    pattern,  # only with monitoring
    router,
)
from tests.wsgi import call


def named(name):
    """Return a handler whose response has its name, its arguments and its mount point."""

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        _, arguments = environ.get("wsgiorg.routing_args", ((), {}))
        parts = [name, *(f"{key}={value}" for key, value in arguments.items())]
        if environ["SCRIPT_NAME"]:
            parts.append(f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}")
        return [" ".join(parts).encode()]

    return handler


TABLE = [
    "/",
    "/about",
    "/café",
    "/closed/",
    "/hello/{name}",
    "/a/{x}/c",
    "/a/b/d",
    "/a/{y}/{z}/e",
    "/admin/*",
    "/admin/login",
    "/admin/users/{user}",
    "/admin/tools/*",
    "/users/{user}/files/*",
    "/users/{user}/files/new",
]


@pytest.fixture
def application():
    """Return a router for TABLE."""
    return router({key: named(key) for key in TABLE})


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "/"),
        ("/about", "/about"),
        ("/café", "/café"),
        ("/closed/", "/closed/"),
        ("/hello/world", "/hello/{name} name=world"),
        ("/hello/Zoë", "/hello/{name} name=Zoë"),
        ("/hello/a b", "/hello/{name} name=a b"),
        ("/hello/..", "/hello/{name} name=.."),
        ("/a/b/c", "/a/{x}/c x=b"),
        ("/a/b/d", "/a/b/d"),
        ("/a/b/d/e", "/a/{y}/{z}/e y=b z=d"),
        ("/admin", "/admin/* /admin|"),
        ("/admin/", "/admin/* /admin|/"),
        ("/admin/x//y/", "/admin/* /admin|/x//y/"),
        ("/admin/login", "/admin/login"),
        ("/admin/login/", "/admin/* /admin|/login/"),
        ("/admin/users", "/admin/* /admin|/users"),
        ("/admin/users/7", "/admin/users/{user} user=7"),
        ("/admin/users/7/edit", "/admin/* /admin|/users/7/edit"),
        ("/admin/tools/x", "/admin/tools/* /admin/tools|/x"),
        ("/users/7/files/new", "/users/{user}/files/new user=7"),
        ("/users/7/files/a/b", "/users/{user}/files/* user=7 /users/7/files|/a/b"),
    ],
)
def test_path_finds_its_route(path, answer, application):
    assert call(application, path).text == answer


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/about/",
        "//about",
        "/closed",
        "/hello",
        "/hello/",
        "/hello/a/b",
        "/a/x/d",
        "/a",
        "/administrator",
        "/users//files/a",
    ],
)
def test_path_without_route_gets_404(path, application):
    assert call(application, path).status == 404


def test_path_that_is_not_utf_8_gets_404(application):
    assert call(application, PATH_INFO="/hello/\xff").status == 404


def test_mount_works_without_script_name():
    seen = []

    def handler(environ, start_response):
        seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return []

    router({"/admin/*": handler})({"PATH_INFO": "/admin/x"}, None)
    assert seen == [("/admin", "/x")]


def test_empty_path_is_root(application):
    assert call(application, PATH_INFO="", SCRIPT_NAME="/app").text.startswith("/ ")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "/* |/"),  # SCRIPT_NAME stays empty
        ("/readyz", "/readyz"),
        ("/readyz/", "/* |/readyz/"),
        ("/a//b/", "/* |/a//b/"),
        ("/hello/world", "/hello/{name} name=world"),
        ("/hello", "/* |/hello"),
    ],
)
def test_mount_of_the_whole_site_leaves_other_routes(path, answer):
    def whole(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"/* {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]

    site = router({"/readyz": named("/readyz"), "/*": whole, "/hello/{name}": named("/hello/{name}")})
    assert call(site, path).text == answer


def test_nested_mounts_extend_script_name():
    outer = router({"/outer/*": router({"/inner/*": named("inner")})})
    assert call(outer, "/outer/inner/x").text == "inner /outer/inner|/x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/hello/{name}", "/hello/{who}"),
        ("/hello/{name}", "/hello/world"),
        ("/admin/*", "/{anything}/*"),
        ("/{a}/b", "/a/{b}"),
        ("/a/{x}/*", "/a/b/*"),
    ],
)
def test_conflicting_routes_are_named_in_error(one, other):
    with pytest.raises(RouteError) as refusal:
        router({one: named("one"), other: named("other")})
    assert repr(one) in str(refusal.value)
    assert repr(other) in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "it must start with '/'"),
        ("about", "it must start with '/'"),
        ("/a//b", "it has an empty segment"),
        ("/*/a", "'*' must be the last segment"),
        ("/a?b", "remove the query or fragment"),
        ("/a#b", "remove the query or fragment"),
        ("/{a}/{a}", "two segments have the same name"),
        *(
            (f"/{segment}", f"{segment!r} must be '*' or '{{name}}', where name has letters, digits and '_'")
            for segment in ("a*", "{a}b", "{a-b}", "{}", "{a", "a}")
        ),
    ],
)
def test_malformed_key_is_named_in_error(key, reason):
    with pytest.raises(RouteError) as refusal:
        router({key: named("it")})
    assert str(refusal.value) == f"route {key!r} is malformed: {reason}"


# begin monitoring
def test_router_hands_over_the_key_of_a_route_with_a_parameter(application):
    keys = []
    application({"PATH_INFO": "/hello/ada", "SCRIPT_NAME": "", "app.routes": keys}, lambda *_: None)
    assert keys == ["/hello/{name}"]


@pytest.mark.parametrize("key", ["/exact", "/é", "/hello/{name}", "/mount/*", ""])
def test_pattern_is_the_key_of_the_route(key):
    found = []

    def handler(environ, start_response):
        found.append(pattern(environ))
        return []

    path = {"/hello/{name}": "/hello/a", "/mount/*": "/mount/a/b", "": "/nowhere"}.get(key, key)
    environ = {"PATH_INFO": path.encode().decode("latin-1"), "REQUEST_METHOD": "GET", "app.routes": []}
    router(dict.fromkeys(["/exact", "/é", "/hello/{name}", "/mount/*"], handler))(environ, lambda *_: None)
    assert [pattern(environ), *found][-1] == key


# end monitoring
