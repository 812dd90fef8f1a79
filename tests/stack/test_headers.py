"""The headers of every kind of response, as a table."""

import re

import httpx
import pytest

from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request
from tests.stack.waiting import ROOT

ALWAYS = {
    "Server": "nginx",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), "
    "browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
NEVER = ["Strict-Transport-Security", "X-Release", "X-Powered-By", "X-Frame-Options", "X-XSS-Protection"]
PAGE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; media-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
}
BARE = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
# Of a part of a file, which can become a 416 page.
PART = {
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-Ob1lfdkWPAui5E/JjR0ymIw7ZI9rUmUX8qj83VFimi8='; "
    "frame-ancestors 'none'"
}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
ASK_AGAIN = {"Cache-Control": "no-cache"}
BY_ENCODING = {"Vary": "Accept-Encoding"}
NOT_KEPT = {"Cache-Control": None, "Retry-After": None, "Allow": None}
OF_ERROR = {"Cache-Control": "no-store", "Vary": "Accept"}
OURS = OF_ERROR | {"Retry-After": None, "ETag": None, "Last-Modified": None}
FILE = OURS | {"Vary": "Accept-Encoding, Accept"}
HTML, GZIP = {"Accept": "text/html"}, {"Accept-Encoding": "gzip"}
PROBLEM, TEXT = "application/problem+json", "text/html; charset=utf-8"

# Method, path and headers of a request; status and headers of its response. None: the header must be absent.
# {style} stands for the path in the page.
CONTRACTS = {
    "a page": ("GET", "/", HTML, 200, PAGE | NOT_KEPT | {"Content-Type": TEXT}),
    "a page, compressed": ("GET", "/", GZIP, 200, PAGE | BY_ENCODING | {"Content-Encoding": "gzip"}),
    "HEAD of a page": ("HEAD", "/", HTML, 200, PAGE),
    "a page that has not changed": (
        "GET", "/hello/x", {"If-None-Match": "{etag}"}, 304, PAGE | NOT_KEPT | {"Content-Type": None},
    ),
    "JSON": ("GET", "/version", {}, 200, BARE | NOT_KEPT | {"Content-Type": "application/json"}),
    "a stream": ("GET", "/stream", {}, 200, BARE | NOT_KEPT | {"Content-Type": "text/plain; charset=utf-8"}),
    "OPTIONS": ("OPTIONS", "/echo", {}, 204, {"Allow": "OPTIONS, POST", "Content-Type": None}),
    "nginx's health": ("GET", "/nginx-health", {}, 204, {"Content-Type": None}),
    "a style": (
        "GET", "{style}", {}, 200,
        BARE | FOREVER | BY_ENCODING | {"Content-Type": "text/css; charset=utf-8", "Content-Encoding": None},
    ),
    "a style, compressed": (
        "GET", "{style}", GZIP, 200, BARE | FOREVER | BY_ENCODING | {"Content-Encoding": "gzip"},
    ),
    "HEAD of a style": ("HEAD", "{style}", {}, 200, BARE | FOREVER),
    "a script": ("GET", "{script}", {}, 200, BARE | FOREVER | {"Content-Type": "text/javascript; charset=utf-8"}),
    "an image": ("GET", "{image}", {}, 200, BARE | FOREVER | {"Content-Type": "image/svg+xml"}),
    "a style that has not changed": (
        "GET", "{style}", {"If-None-Match": "{tag}"}, 304,
        FOREVER | BY_ENCODING | {"Content-Type": None, "Content-Encoding": None},
    ),
    "a part of a style": ("GET", "{style}", {"Range": "bytes=0-3"}, 206, PART | NOT_KEPT | {"Content-Length": "4"}),
    "robots.txt": ("GET", "/robots.txt", {}, 200, BARE | ASK_AGAIN | {"Content-Type": "text/plain; charset=utf-8"}),
    "favicon.ico": ("GET", "/favicon.ico", {}, 200, BARE | ASK_AGAIN | {"Content-Type": "image/x-icon"}),
    "the manifest": (
        "GET", "/site.webmanifest", {}, 200,
        BARE | ASK_AGAIN | {"Content-Type": "application/manifest+json; charset=utf-8"},
    ),
    "security.txt": ("GET", "/.well-known/security.txt", {}, 200, BARE | ASK_AGAIN),
    "a file under its own name": (
        "GET", "/static/style.css", {}, 200, BARE | ASK_AGAIN | {"Content-Type": "text/css; charset=utf-8"},
    ),
    "the app's 404": ("GET", "/nope", {}, 404, BARE | NOT_KEPT | {"Content-Type": PROBLEM, "Vary": "Accept"}),
    "the app's 404, as a page": ("GET", "/nope", HTML, 404, PAGE | NOT_KEPT),
    "the app's 405": ("DELETE", "/about", {}, 405, BARE | {"Allow": "GET, HEAD, OPTIONS"}),
    "the app's 400": ("POST", "/echo", {"Content-Type": "application/json"}, 400, BARE | NOT_KEPT),
    "nginx's 404": ("GET", "/static/.nope", {}, 404, FILE | {"Content-Type": PROBLEM, "Allow": None}),
    "nginx's 404, as a page": ("GET", "/static/.nope", HTML, 404, FILE | {"Content-Type": TEXT}),
    "HEAD of nginx's 404": ("HEAD", "/static/.nope", HTML, 404, FILE),
    "nginx's 405 for a file": ("POST", "{style}", {}, 405, OURS | {"Allow": "GET, HEAD"}),
    "nginx's 501": ("BREW", "/", {}, 501, OURS | {"Allow": None}),
    "nginx's 412": ("GET", "{style}", {"If-Match": '"x"'}, 412, OF_ERROR),
    "nginx's 416": ("GET", "{style}", {"Range": "bytes=999999-"}, 416, PART | OF_ERROR),
    "nginx's 400": ("GET", "/../x", {}, 400, OURS),
}  # fmt: skip


@pytest.fixture(scope="module")
def names(stack):
    """Return the paths of the files of a page, and the ETags of a page and of its style."""
    page = httpx.get(stack.url, headers=HTML).text
    found = {
        name: re.search(rf'"(/static/[^"]+\.{suffix})"', page)[1]
        for name, suffix in {"style": "css", "script": "js", "image": "svg"}.items()
    }
    return found | {
        "etag": httpx.get(f"{stack.url}/hello/x").headers["ETag"],
        "tag": httpx.get(stack.url + found["style"], headers={"Accept-Encoding": "identity"}).headers["ETag"],
    }


def joined(answer, header):
    """Return the combined value of the header (RFC 9110, 5.3), or None if the response has none."""
    found = answer.headers.get_all(header)
    return ", ".join(found) if found else None


@pytest.mark.parametrize("name", CONTRACTS)
def test_response_has_its_headers(name, stack, names):
    method, path, headers, status, contract = CONTRACTS[name]
    lines = tuple(f"{key}: {value.format(**names)}".encode() for key, value in headers.items())
    sent = request(path.format(**names).encode(), method.encode(), lines)
    answer = Answer.parse(ask(stack, sent), method)
    assert answer.status == status
    contract = ALWAYS | contract
    assert {header: joined(answer, header) for header in contract} == contract
    assert not [header for header in NEVER if header in answer.headers]
    [policy] = answer.headers.get_all("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert re.fullmatch("[0-9a-f]{32}", *answer.headers.get_all("X-Request-ID"))


# Headers that the app may set, and a status with which nginx would set them too.
SET_BY_THE_APP = {
    "Content-Security-Policy": ("default-src *", 200),
    "Referrer-Policy": ("no-referrer", 200),
    "Permissions-Policy": ("camera=(self)", 200),
    "Cross-Origin-Opener-Policy": ("unsafe-none", 200),
    "Cross-Origin-Resource-Policy": ("cross-origin", 200),
    "X-Content-Type-Options": ("sniff", 200),
    "Strict-Transport-Security": ("max-age=1", 200),
    "Cache-Control": ("max-age=7", 200),
    "Retry-After": ("77", 503),
    "Allow": ("GET", 405),
    "Vary": ("Cookie", 404),
}


@pytest.mark.parametrize("name", SET_BY_THE_APP)
def test_header_of_the_app_replaces_that_of_nginx(name, probe):
    value, status = SET_BY_THE_APP[name]
    answer = httpx.get(f"{probe.url}/answer/{status}", params={name: value})
    assert (answer.status_code, answer.headers.get_list(name)) == (status, [value])


def test_app_may_set_each_header_of_nginx():
    text = "".join((ROOT / "nginx" / name).read_text() for name in ("headers.conf", "hsts.conf"))
    ours = re.findall(r"^add_header (\S+) ", text, re.MULTILINE)
    assert {*ours} - {"X-Request-ID"} == SET_BY_THE_APP.keys()


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Release"])
def test_app_cannot_set_request_id_or_release(name, probe):
    answer = httpx.get(f"{probe.url}/answer/200", params={name: "the-apps"})
    assert "the-apps" not in answer.headers.get_list(name)
    assert len(answer.headers.get_list(name)) == (name == "X-Request-ID")


COOKIES = [(1, 4000), (4, 1000), (1, 8000), (4, 8100)]  # number, and bytes of each


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(("count", "size"), COOKIES)
def test_response_headers_may_be_as_large_as_request_headers(count, size, method, probe):
    answer = httpx.request(method, f"{probe.url}/cookies/{count}/{size}")
    assert answer.status_code == 200
    assert [len(f"Set-Cookie: {value}\r\n") for value in answer.headers.get_list("Set-Cookie")] == [size] * count
