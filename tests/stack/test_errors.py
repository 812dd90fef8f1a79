"""nginx's own errors are a page or a problem document, with the request id. Errors of the app are unchanged."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request
from tests.stack.test_headers import ALWAYS
from tests.stack.waiting import ROOT, until

ERRORS = {
    "400 Bad Request": request(host=b"Host: .a"),
    "404 Not Found": request(b"/static/.nope"),
    "405 Method Not Allowed": request(b"/robots.txt", b"POST", body=b"x"),
    "413 Content Too Large": request(b"/echo", b"POST", body=b"x" * 1_048_577),
    "416 Range Not Satisfiable": request(b"/robots.txt", headers=(b"Range: bytes=999999-",)),
    "501 Not Implemented": request(b"/", b"BREW"),
    "504 Gateway Timeout": request(b"/think/3"),
}
# Over HTTP/2, nginx ends the connection of the first, and the second does not exist.
ERRORS_OF_HTTP_1 = {
    "431 Request Header Fields Too Large": request(headers=(b"Cookie: " + b"x" * 9000,)),
    "501 Not Implemented": request(b"/echo", b"POST", (b"Transfer-Encoding: gzip, chunked",)),
}
TRANSPORTS = ["HTTP/1.1", "TLS", "HTTP/2"]
FORMATS = {"text/html": "text/html; charset=utf-8", "application/json": "application/problem+json"}


def asking(sent, accept):
    """Return the request with this Accept."""
    return sent.replace(b"\r\n", f"\r\nAccept: {accept}\r\n".encode(), 1)


def received(where, sent, transport="HTTP/1.1"):
    """Return the response from a stack or, over TLS, from an edge with TLS."""
    return Answer.parse(ask(where, sent) if transport == "HTTP/1.1" else where.ask(sent, transport), "GET")


def assert_ours(where, sent, title, accept, transport="HTTP/1.1"):
    """Send the request, and check that the response is nginx's own error, as a page or as a problem document."""
    answer = received(where, sent, transport)
    status = int(title.partition(" ")[0])
    # nginx adds the encoding of the file that lacks a range.
    encoding = "; charset=utf-8" if status == 416 and accept != "text/html" else ""
    assert (answer.status, answer.headers["Content-Type"]) == (status, FORMATS[accept] + encoding)
    text = answer.body.decode()
    identifier = answer.headers["X-Request-ID"]
    if accept == "text/html":
        assert f"<h1>{title}</h1>" in text
        assert f"<code>{identifier}</code>" in text
        [style] = re.findall("<style>(.*)</style>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}';" in answer.headers["Content-Security-Policy"]
    else:
        problem = json.loads(text)
        assert problem.keys() == {"title", "status", "detail", "request_id"}
        assert (f"{status} {problem['title']}", problem["status"], problem["request_id"]) == (title, status, identifier)
        assert problem["detail"] != "The server could not answer this request."
    assert re.fullmatch("[0-9a-f]{32}", identifier)
    assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS
    assert len(answer.headers.get_all("X-Request-ID")) == 1
    assert answer.headers["Retry-After"] == ("1" if status in (429, 503) else None)
    assert answer.headers["Allow"] == ("GET, HEAD" if status == 405 else None)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("title", ERRORS)
def test_error_follows_accept_and_has_the_request_id(title, transport, accept, places):
    assert_ours(places[transport], asking(ERRORS[title], accept), title, accept, transport)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("transport", ["HTTP/1.1", "TLS"])
@pytest.mark.parametrize("title", ERRORS_OF_HTTP_1)
def test_error_that_http_2_does_not_have_follows_accept(title, transport, accept, places):
    assert_ours(places[transport], asking(ERRORS_OF_HTTP_1[title], accept), title, accept, transport)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_redirect_to_https_has_a_page(accept, secure):
    sent = asking(request(b"/about?a=b&c"), accept)
    location = f"https://localhost:{secure.tls_port}/about?a=b&c"
    for port in (secure.url.rpartition(":")[2], secure.tls_port):  # HTTP on the TLS port is redirected too
        answer = assert_ours(replace(secure, url=f":{port}"), sent, "308 Permanent Redirect", accept)
        assert answer.headers["Location"] == location
        assert accept != "text/html" or location.replace("&", "&amp;").encode() in answer.body


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW", b"TRACE"])
def test_405_names_the_methods_of_nginxs_own_locations(method, transport, probe, places):
    listing = probe.execute("nginx", "ls", "static").stdout.split() if probe.kind == "docker" else []
    names = listing or [path.name for path in (probe.run_dir / "static").iterdir()]
    style = next(name for name in names if name.endswith(".css")).encode()
    paths = [b"/robots.txt", b"/favicon.ico", b"/nginx-health"]
    paths += [b"/static/" + style, b"//static/" + style, b"/%73tatic/" + style]
    if transport != "HTTP/1.1":
        paths.append(b"/.well-known/acme-challenge/token")
    for path in paths:
        answer = received(places[transport], request(path, method), transport)
        expected = (501, None) if method in (b"BREW", b"TRACE") else (405, "GET, HEAD")
        assert (path, answer.status, answer.headers["Allow"]) == (path, *expected)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("transport", ["TLS", "HTTP/2"])
@pytest.mark.parametrize("path", [b"/.well-known/acme-challenge/folder", b"/static/root", b"/static", b"/nginx-errors"])
def test_nginx_redirects_no_folder(path, transport, secure):
    assert received(secure, request(path), transport).status == 404


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("title", "line", "accept"),
    [
        ("400 Bad Request", b"GET /../x HTTP/1.1", "application/json"),
        ("414 URI Too Long", b"GET /" + b"y" * 9000 + b" HTTP/1.1", "text/html"),
        ("505 HTTP Version Not Supported", b"GET / HTTP/2.0", "application/json"),
    ],
)
def test_error_in_the_request_line_ignores_accept(title, line, accept, transport, places):
    if transport == "HTTP/2" and not title.startswith("400"):
        return  # nginx ends the connection, and HTTP/2 has no line with a version
    for asked in FORMATS:
        sent = b"%s\r\nHost: localhost\r\nAccept: %s\r\nConnection: close\r\n\r\n" % (line, asked.encode())
        assert_ours(places[transport], sent, title, accept, transport)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_other_host_gets_421(transport, accept, places):
    sent = asking(request(b"/", host=b"Host: example.org"), accept)
    assert_ours(places[transport], sent, "421 Misdirected Request", accept, transport)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("tls", ["off", pytest.param("on", marks=pytest.mark.nightly)])
def test_too_many_requests_get_429(tls, probe):
    with edge(probe, CLIENT_REQUESTS="1", NGINX_TLS=tls) as other:
        sent = request(b"/environ/")
        for transport in TRANSPORTS[:1] if tls == "off" else TRANSPORTS[1:]:
            until(lambda: received(other, sent, transport).status == 429, "the rate is exceeded")  # noqa: B023
            for accept in FORMATS:
                assert_ours(other, asking(sent, accept), "429 Too Many Requests", accept, transport)


@pytest.fixture(scope="module")
def impatient_conf(tmp_path_factory):
    """Return a configuration of nginx whose timeouts are one second, instead of ten or thirty."""
    conf = Path(shutil.copytree(ROOT / "nginx", tmp_path_factory.mktemp("impatient") / "nginx"))
    for directive in ("client_header_timeout 10s", "client_body_timeout 8s", "proxy_read_timeout 30s"):
        pattern = re.compile(rf"^( *){directive};", re.MULTILINE)
        [file] = [file for file in conf.glob("*.conf") if pattern.search(file.read_text())]
        file.write_text(pattern.sub(rf"\1{directive.split()[0]} 1s;", file.read_text()))
    return conf


@pytest.fixture(scope="module")
def impatient(probe, impatient_conf):
    """Return an nginx with this configuration, for two hosts."""
    with edge(probe, conf=impatient_conf, ALLOWED_HOSTS="localhost,a") as impatient:
        yield impatient


@pytest.fixture(scope="module")
def secure(probe, impatient_conf):
    """Return the same with TLS."""
    with edge(probe, conf=impatient_conf, ALLOWED_HOSTS="localhost,a", NGINX_TLS="on") as secure:
        yield secure


@pytest.fixture
def places(impatient, secure):
    """Return the nginx for each transport."""
    return {transport: secure if transport in TRANSPORTS[1:] else impatient for transport in TRANSPORTS}


@pytest.mark.backend("gunicorn")
def test_slow_app_is_logged(impatient):
    assert received(impatient, request(b"/think/3")).status == 504
    until(lambda: '"error":"timed out","upstream_status":"504"' in impatient.logs(), "the timeout is logged")


@pytest.fixture(scope="module", params=["off", pytest.param("on", marks=pytest.mark.nightly)])
def full(request, probe, tmp_path_factory):
    """Return an nginx that cannot store a request body."""
    folder = tmp_path_factory.mktemp("full")
    conf = Path(shutil.copytree(ROOT / "nginx", folder / "nginx"))
    bodies = "/tmp/bodies" if probe.kind == "docker" else f"{folder}/bodies"  # Docker: /tmp has 16 MiB
    text = (conf / "nginx.conf").read_text()
    (conf / "nginx.conf").write_text(
        text.replace("client_body_temp_path buffers/body", f"client_body_temp_path {bodies}")
    )
    with edge(probe, conf=conf, MAX_BODY_BYTES="30000000", NGINX_TLS=request.param) as full:
        if probe.kind == "processes":
            shutil.rmtree(bodies)
        yield full


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_body_that_nginx_cannot_store_gets_503(accept, full):
    sent = asking(request(b"/length", b"POST", body=b"x" * 20_000_000), accept)
    assert_ours(full, sent, "503 Service Unavailable", accept, "TLS" if full.tls_port else "HTTP/1.1")


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "sent", [b"GET /slow HTTP/1.1\r\nHost: a\r\n", b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{"]
)
def test_slow_client_gets_no_response_and_is_logged(sent, impatient):
    before = impatient.logs().count('"status":408')
    assert ask(impatient, sent) == b""
    until(lambda: impatient.logs().count('"status":408') == before + 1, "the request is logged")


def test_stopped_app_gets_503_and_nginx_serves_the_rest(probe, places):
    probe.stop_app()
    try:
        for transport, method, accept in product(TRANSPORTS, (b"GET", b"POST"), FORMATS):
            sent = asking(request(b"/environ/", method, body=b"{}" * (method == b"POST")), accept)
            assert_ours(places[transport], sent, "503 Service Unavailable", accept, transport)
        assert httpx.get(f"{probe.url}/nginx-health").status_code == 204
        assert httpx.get(f"{probe.url}/robots.txt").status_code == 200
    finally:
        probe.start_app()
        until(probe.is_up, "the app is ready")


def executions(probe, answer):
    """Return how many times the app has executed the request of this response."""
    return probe.logs("app").count(f"dying of {answer.headers['X-Request-ID']}")


# The kernel resets the connection of a worker that exits with an unread body.
@pytest.mark.parametrize("body", [b"", b"x" * 500_000], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
def test_request_that_ends_its_worker_is_not_repeated(method, body, probe):
    answer = httpx.request(method, f"{probe.url}/die", content=body, timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    until(lambda: executions(probe, answer) > 0, "the app has logged the request")
    until(probe.is_up, "the next worker is ready")
    assert executions(probe, answer) == 1


def switch(stack, command):
    """Close or open the site."""
    if stack.kind == "docker":
        assert stack.execute("nginx", *command.split()).returncode == 0
    elif command == "touch maintenance":
        (stack.run_dir / "maintenance").touch()
    else:
        (stack.run_dir / "maintenance").unlink()


@pytest.mark.backend("gunicorn")
def test_maintenance_file_closes_and_opens_the_site(stack, http):
    style = re.search(r'"(/static/[^"]+\.css)"', http.get("/").text)[1]
    for _ in range(2):
        switch(stack, "touch maintenance")
        try:
            for accept in FORMATS:
                assert_ours(stack, asking(request(b"/"), accept), "503 Service Unavailable", accept)
            assert http.get(style).status_code == 200
            assert http.get("/robots.txt").status_code == 200
            assert http.get("/nginx-health").status_code == 204
        finally:
            switch(stack, "rm maintenance")
        assert http.get("/").status_code == 200


@pytest.mark.parametrize("status", [400, 403, 404, 405, 412, 413, 421, 429, 431, 500, 501, 502, 503, 504])
def test_error_of_the_app_is_unchanged(status, places):
    for transport in TRANSPORTS:
        sent = asking(request(b"/answer/%d" % status), "text/html")
        answer = received(places[transport], sent, transport)
        assert (answer.status, answer.body) == (status, b"the app's own")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert not [name for name in ("Retry-After", "Allow", "Cache-Control", "Vary") if name in answer.headers]
