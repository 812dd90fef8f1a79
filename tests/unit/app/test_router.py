"""Which route a path finds, what it finds in its environ, and which tables are refused."""

import pytest

from app.router import RouteError, router
from tests.wsgi import call


def named(name):
    """Return a handler that answers with its name and what the router told it."""

    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        _, arguments = environ.get("wsgiorg.routing_args", ((), {}))
        told = [name, *(f"{key}={value}" for key, value in arguments.items())]
        if environ["SCRIPT_NAME"]:
            told.append(f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}")
        return [" ".join(told).encode()]

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
    "/users/{user}/files/*",
]


@pytest.fixture
def application():
    """Return the router of the whole table."""
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
        ("/users/7/files/a/b", "/users/{user}/files/* user=7 /users/7/files|/a/b"),
    ],
)
def test_a_path_finds_its_route(path, answer, application):
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
def test_a_path_that_no_route_names_is_404(path, application):
    assert call(application, path).status == 404


def test_bytes_that_are_not_utf_8_name_nothing(application):
    assert call(application, PATH_INFO="/hello/\xff").status == 404


def test_a_mount_needs_no_script_name_to_be_set():
    seen = []

    def handler(environ, start_response):
        seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return []

    router({"/admin/*": handler})({"PATH_INFO": "/admin/x"}, None)
    assert seen == [("/admin", "/x")]


def test_an_empty_path_is_the_root(application):
    assert call(application, PATH_INFO="", SCRIPT_NAME="/app").text.startswith("/ ")


def test_a_mount_inside_a_mount_moves_script_name_twice():
    outer = router({"/outer/*": router({"/inner/*": named("inner")})})
    assert call(outer, "/outer/inner/x").text == "inner /outer/inner|/x"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/hello/{name}", "/hello/{who}"),
        ("/hello/{name}", "/hello/world"),
        ("/admin/*", "/admin"),
        ("/admin/*", "/admin/users"),
        ("/admin/*", "/{anything}"),
        ("/{a}/b", "/a/{b}"),
        ("/*", "/about"),
        ("/a/{x}/*", "/a/b/c/d"),
    ],
)
def test_two_routes_that_can_match_the_same_path_are_refused_by_name(one, other):
    with pytest.raises(RouteError) as refusal:
        router({one: named("one"), other: named("other")})
    assert repr(one) in str(refusal.value)
    assert repr(other) in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "it must start with a slash"),
        ("about", "it must start with a slash"),
        ("/a//b", "it has an empty segment"),
        ("/*/a", "only its last segment can be '*'"),
        ("/a?b", "a path has no query and no fragment"),
        ("/a#b", "a path has no query and no fragment"),
        ("/{a}/{a}", "it names a segment twice"),
        *(
            (f"/{segment}", f"{segment!r} must be a whole '{{name}}', the name a Python identifier, or a whole '*'")
            for segment in ("a*", "{a}b", "{a-b}", "{}", "{a", "a}")
        ),
    ],
)
def test_a_malformed_key_is_refused_by_name_and_reason(key, reason):
    with pytest.raises(RouteError) as refusal:
        router({key: named("it")})
    assert str(refusal.value) == f"route {key!r} is malformed: {reason}"
