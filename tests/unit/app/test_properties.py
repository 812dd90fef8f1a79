"""Property tests: any request gets a valid response, and each response body is closed once."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.handlers import health, static
from app.middleware.conditional_get import conditional_get
from app.middleware.log_environ import log_environ
from app.middleware.timing import timing
from app.middleware.transform import reverse, transform
from app.response import html
from app.router import RouteError, router
from app.urls import url_for
from tests.reference.app.wsgi import MIDDLEWARES, chain, echo
from tests.wsgi import call


def greet(environ, start_response):
    """Return the {name} in the path."""
    return html(start_response, environ["wsgiorg.routing_args"][1]["name"])


# Not the fork's ROUTES: a random request must not reach a handler that writes to a database or sends mail.
ROUTES = {
    "/": {"GET": health.alive},
    "/about": {"GET": health.version},
    "/hello/{name}": {"GET": conditional_get(greet)},
    "/echo": {"POST": echo},
    "/static/*": static.files,
}
EVERY = [timing, log_environ, *MIDDLEWARES, transform("text/plain", reverse), conditional_get]

latin = st.text(st.characters(max_codepoint=255))  # the characters of environ values (PEP 3333, Unicode Issues)
segment = st.one_of(
    latin.filter(lambda text: "/" not in text), st.sampled_from(["", ".", "..", "hello", "echo", "*", "{name}"])
)
path = st.one_of(
    st.builds(lambda segments: "".join("/" + each for each in segments), st.lists(segment, max_size=5)),
    st.sampled_from([key.format(name="x") for key in ROUTES]),
)
body = st.one_of(st.binary(max_size=50), st.sampled_from([b"{}", b"[1, null]", b'"\\ud800"', b"1e999", b"NaN"]))
environs = st.fixed_dictionaries(
    {
        "REQUEST_METHOD": st.sampled_from(
            ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"]
        ),
        "PATH_INFO": path,
        "QUERY_STRING": latin,
    },
    optional={
        "HTTP_ACCEPT": st.one_of(latin, st.sampled_from(["text/html", "*/*", "text/html;q=0", "application/json"])),
        "HTTP_X_REQUEST_ID": latin,
        "HTTP_IF_NONE_MATCH": st.one_of(latin, st.sampled_from(["*", 'W/"x"'])),
        "HTTP_IF_MODIFIED_SINCE": latin,
        "HTTP_RANGE": latin,
        "HTTP_COOKIE": latin,
        "CONTENT_TYPE": st.one_of(latin, st.just("application/json")),
    },
)


def valid(answer):
    """Return the response after checking that its header names and values can be sent."""
    for name, value in answer.headers.items():
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        assert re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value)
    assert answer.headers["X-Request-ID"]
    return answer


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # the validator accepts only standard methods
@given(environs, body)
def test_any_request_gets_valid_response(environ, body):
    answer = valid(call(chain(MIDDLEWARES, router(ROUTES)), body=body, **environ))
    assert answer.status < 500
    length = answer.headers["Content-Length"]
    if length is not None and environ["REQUEST_METHOD"] != "HEAD":
        assert int(length) == len(answer.body)


class Body:
    """A body that counts calls of close() and can raise at one chunk."""

    def __init__(self, chunks, fails_at):
        self.chunks = chunks
        self.fails_at = fails_at
        self.closed = 0

    def __iter__(self):
        for number, chunk in enumerate(self.chunks):
            if number == self.fails_at:
                raise LookupError("in the body")
            yield chunk

    def close(self):
        self.closed += 1


@given(st.lists(st.just(b"chunk"), max_size=4), st.integers(0, 5), st.booleans(), st.sampled_from(["GET", "HEAD"]))
def test_body_is_closed_once(chunks, fails_at, starts_late, method):
    made = Body(chunks, fails_at)

    def handler(environ, start_response):
        def late():
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield from made

        if not starts_late:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return made
        lazy = Body([], 0)
        lazy.__class__ = type("Late", (Body,), {"__iter__": lambda self: late(), "close": lambda self: made.close()})
        return lazy

    application = chain(EVERY, router({"/{any}": {"GET": handler}}))
    try:
        answer = valid(call(application, "/x", method))
    except LookupError:
        assert 0 < fails_at < len(chunks)
    else:
        failed = fails_at == 0 and bool(chunks)
        assert answer.status == (500 if failed else 200)
    assert made.closed == 1


names = st.sampled_from(["a", "b", "{x}", "{y}", "*", "é", ""])
keys = st.lists(
    st.builds(lambda parts: "/" + "/".join(parts), st.lists(names, min_size=1, max_size=4)), max_size=5, unique=True
)


def matches(key, path):
    """Return whether the route's key matches the path: a second, slow implementation to compare with."""
    pattern = "".join(
        "/" + ("[^/]+" if part.startswith("{") else re.escape(part)) for part in key[1:].removesuffix("*").split("/")
    )
    if key.endswith("/*"):
        return re.fullmatch(pattern.removesuffix("/") + "(/.*)?", path, re.DOTALL) is not None
    return re.fullmatch(pattern, path, re.DOTALL) is not None


def named(key):
    def handler(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [key.encode()]

    return handler


@given(keys, st.lists(st.sampled_from(["a", "b", "c", "é", ""]), min_size=1, max_size=5))
def test_table_is_rejected_or_finds_the_only_matching_route_or_the_longest_mount(keys, parts):
    path = "/" + "/".join(parts)
    mounts = sorted((key for key in keys if key.endswith("/*") and matches(key, path)), key=lambda key: key.count("/"))
    matching = [key for key in keys if not key.endswith("/*") and matches(key, path)] or mounts[-1:]
    try:
        application = router({key: named(key) for key in keys})
    except RouteError:
        return
    answer = call(application, path)
    assert ([answer.text] if answer.status == 200 else []) == matching


@given(st.text(min_size=1).filter(lambda text: "/" not in text and text not in {".", ".."}))
def test_url_is_ascii(name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    url = url_for("/hello/{name}", name=name)
    assert url.isascii()
    assert re.fullmatch(r"/hello/[!$&'()*+,;=:@A-Za-z0-9._~%-]+", url)
