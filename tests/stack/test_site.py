"""The site over HTTP through nginx: both backends return the same responses."""

import json
import re

import pytest

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


def test_page_shows_the_request_id_of_the_response(http):
    response = http.get("/about", headers=HTML)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"Where to begin: {response.headers['X-Request-ID']}" in response.text


def test_version_names_backend_and_release(http, stack):
    version = http.get("/version").json()
    assert (version["backend"], version["release"]) == (stack.backend, "dev")


def test_unchanged_page_gets_304(http):
    first = http.get("/hello/Zoë%20B", headers=HTML)
    assert "Hello, Zoë B!" in first.text
    again = http.get("/hello/Zoë%20B", headers=HTML | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


@pytest.mark.parametrize("value", [{"a": [1, None, True]}, "Zoë", [], 1.5, None])
def test_echo_returns_same_json(value, http):
    response = http.post("/echo", content=json.dumps(value), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.json() == value


def test_chunked_upload_is_complete(http):
    text = json.dumps({"text": "x" * 100_000}).encode()
    response = http.post(
        "/echo",
        content=(text[at : at + 1000] for at in range(0, len(text), 1000)),
        headers={"Content-Type": "application/json"},
    )
    assert response.json() == json.loads(text)


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"1" * 1_048_577, "application/json", 413),
    ],
)
def test_echo_rejects_invalid_body(content, content_type, status, http):
    assert http.post("/echo", content=content, headers={"Content-Type": content_type}).status_code == status


def test_body_at_size_limit_is_accepted(http):
    text = json.dumps("x" * (1_048_576 - 2))
    assert http.post("/echo", content=text, headers={"Content-Type": "application/json"}).json() == json.loads(text)


def test_stream_arrives_in_chunks(http):
    with http.stream("GET", "/stream") as response:
        chunks = list(response.iter_raw())
    assert b"".join(chunks).decode().splitlines() == [f"chunk {number} of 7" for number in range(1, 8)]
    assert len(chunks) == 7


def test_healthz_readyz_and_version(http, stack):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok", "checks": {}}
    version = http.get("/version").json()
    assert (version["backend"], version["release"], version["threads"]) == (stack.backend, "dev", 8)
    assert version["workers"] >= 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("GET", "/about/", 404), ("PUT", "/about", 405), ("GET", "/echo", 405)],
)
def test_error_format_follows_accept_header(method, path, status, http):
    page = http.request(method, path, headers=HTML)
    problem = http.request(method, path, headers={"Accept": "application/json"})
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert (problem.status_code, problem.headers["Content-Type"]) == (status, "application/problem+json")
    assert page.headers["X-Request-ID"] in page.text
    assert problem.json()["request_id"] == problem.headers["X-Request-ID"]


@pytest.mark.parametrize(("path", "allow"), [("/about", "GET, HEAD, OPTIONS"), ("/echo", "OPTIONS, POST")])
def test_405_and_options_list_methods(path, allow, http):
    assert http.delete(path).headers["Allow"] == allow
    assert (http.options(path).status_code, http.options(path).headers["Allow"]) == (204, allow)


def test_head_has_headers_of_get_without_body(http):
    get, head = http.get("/healthz"), http.head("/healthz")
    varying = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }
    assert head.content == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/nope"),
        ("PUT", "/"),
        ("GET", "/static/style.css"),
        ("GET", "/static/nope"),
        ("GET", "/%"),
        ("GET", "/stream"),
    ],
)
def test_each_response_has_one_unique_request_id(method, path, http):
    ids = []
    for _ in range(2):
        # Without the body: all of /stream takes three seconds.
        with http.stream(method, path, headers={"X-Request-ID": "the-clients"}) as response:
            ids.append(response.headers.get_list("X-Request-ID"))
    assert [len(found) for found in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert all(re.fullmatch("[0-9a-f]{32}", found[0]) for found in ids)


def test_long_header_and_path_reach_app(http):
    assert http.get("/healthz", headers={"Cookie": "x" * 8000}).status_code == 200
    assert "y" * 8000 in http.get("/hello/" + "y" * 8000, headers=HTML).text
