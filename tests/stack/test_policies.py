"""What nginx refuses, adds and changes between a client and the app: the table in docs/your-app.md."""

import json
import shutil

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request
from tests.stack.test_hidden_files import in_static
from tests.stack.waiting import ROOT, until

TYPES = {
    "a.woff": "font/woff", "a.TTF": "font/ttf", "a.otf": "font/otf", "a.eot": "application/vnd.ms-fontobject",
    "a.mp3": "audio/mpeg", "a.ogg": "audio/ogg", "a.wav": "audio/wav", "a.m4a": "audio/mp4",
    "a.vtt": "text/vtt; charset=utf-8", "a.csv": "text/csv; charset=utf-8", "a.ics": "text/calendar; charset=utf-8",
    "a.rss": "application/rss+xml", "a.zip": "application/zip", "a.svgz": "image/svg+xml",
    "a.xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "a.nonesuch": "application/octet-stream",
}  # fmt: skip


def environ(stack, *headers, target=b"/environ/a", method=b"GET"):
    """Return the environ that the app sees."""
    answer = Answer.parse(ask(stack, request(target, method, headers)), method.decode())
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def changed(probe, tmp_path_factory):
    """Return an nginx whose list of methods has WebDAV's, as docs/your-app.md says."""
    conf = tmp_path_factory.mktemp("nginx") / "nginx"
    shutil.copytree(ROOT / "nginx", conf)
    methods = (conf / "methods.conf").read_text()
    (conf / "methods.conf").write_text(methods.replace("OPTIONS 1;", "OPTIONS 1; PROPFIND 1; VERSION-CONTROL 1;"))
    conf.parent.chmod(0o755)
    with edge(probe, conf) as further:
        yield further


@pytest.mark.parametrize("method", ["PROPFIND", "VERSION-CONTROL"])
def test_method_is_refused_until_it_is_in_the_list(method, probe, changed):
    refused = httpx.request(method, f"{probe.url}/environ/")
    assert refused.status_code == 501
    assert httpx.request(method, f"{changed.url}/environ/").json()["REQUEST_METHOD"] == method
    for other in ("PROP", "FIND", "CONTROL", "VERSION", "PROPFIN", "ROPFIND"):
        assert httpx.request(other, f"{changed.url}/environ/").status_code == 501


@pytest.mark.parametrize(
    "path",
    [
        "/environ/.web/",
        "/environ/.DS_Store",
        "/environ/a/.github/b",
        "/errors/404",
        "/private/a",
        "/static/app/own.css",
    ],
)
def test_path_reaches_the_app(path, probe):
    seen = httpx.get(probe.url + path).json()
    assert seen["SCRIPT_NAME"] + seen["PATH_INFO"] == path


def test_file_at_the_root_is_the_apps_if_static_root_has_none(probe):
    assert "icons" in httpx.get(f"{probe.url}/site.webmanifest").json()
    in_static(probe, "mv root/site.webmanifest root/other")
    try:
        until(lambda: "PATH_INFO" in httpx.get(f"{probe.url}/site.webmanifest").json(), "nginx notices")
    finally:
        in_static(probe, "mv root/other root/site.webmanifest")


@pytest.mark.parametrize("path", ["/nginx-errors/error.html", "/nginx-private/a", "/nginx-health/", "/static/.web"])
def test_path_is_reserved(path, probe):
    assert httpx.get(probe.url + path).status_code == 404


@pytest.mark.parametrize("media_type", ["text/plain", "text/html", "text/html; charset=latin-1", "text/css"])
def test_encoding_of_a_response_is_what_the_app_says(media_type, probe):
    answer = httpx.get(f"{probe.url}/bare", params={"Content-Type": media_type})
    assert (answer.headers["Content-Type"], answer.content) == (media_type, b"caf\xe9")


@pytest.mark.parametrize("location", ["http://app/x", "http://localhost/x", "/x", "../x", "https://example.org/"])
def test_location_is_what_the_app_says(location, probe):
    answer = httpx.get(f"{probe.url}/answer/302", params={"Location": location})
    assert answer.headers["Location"] == location


def test_request_without_host_has_the_servers_name(probe):
    answer = Answer.parse(ask(probe, b"GET /environ/a HTTP/1.0\r\n\r\n"), "GET")
    assert {name: json.loads(answer.body)[name] for name in ("HTTP_HOST", "SERVER_NAME")} == {
        "HTTP_HOST": "localhost", "SERVER_NAME": "localhost"
    }  # fmt: skip


def test_request_id_is_nginxs(probe):
    seen = environ(probe, b"X-Request-ID: mine")["HTTP_X_REQUEST_ID"]
    assert len(seen) == 32


def test_header_with_a_dot_or_underscore_does_not_reach_the_app(probe):
    seen = environ(probe, b"X_Forwarded_For: 192.0.2.7", b"X.Y: z", b"X-Y: yes")
    assert seen["HTTP_X_Y"] == "yes"
    assert "192.0.2.7" not in seen.values()
    assert "z" not in seen.values()


def test_websocket_is_not_upgraded(probe):
    seen = environ(probe, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    assert seen["HTTP_CONNECTION"] == "close"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_client_can_change_the_document_that_it_read(encoding, probe):
    url, accept = f"{probe.url}/document", {"Accept-Encoding": encoding}
    tag = httpx.get(url, headers=accept).headers["ETag"]
    assert tag == {"gzip": 'W/"one"', "identity": '"one"'}[encoding]
    assert httpx.put(url, headers=accept | {"If-Match": f'"zero", {tag}'}).status_code == 200
    assert httpx.put(url, headers=accept | {"If-Match": 'W/"zero"'}).status_code == 412


@pytest.mark.parametrize(
    ("query", "policy"),
    [({}, "same-origin"), ({"Access-Control-Allow-Origin": "*"}, None), ({"Cross-Origin-Resource-Policy": "x"}, "x")],
)
def test_response_can_be_embedded_if_the_app_allows_it(query, policy, probe):
    answer = httpx.get(f"{probe.url}/answer/200", params=query)
    assert answer.headers.get("Cross-Origin-Resource-Policy") == policy


def test_app_can_take_any_number_of_parameters(probe):
    query = b"&".join(b"a=1" for _ in range(1001))
    assert environ(probe, target=b"/environ/a?" + query)["QUERY_STRING"] == query.decode()


def test_usual_files_have_their_types(probe):
    in_static(probe, "mkdir -p types && cd types && touch " + " ".join(TYPES))
    found = {name: httpx.get(f"{probe.url}/static/types/{name}").headers["Content-Type"] for name in TYPES}
    assert found == TYPES
