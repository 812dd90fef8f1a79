"""nginx's own errors are a page or a problem document, with the request id. Errors of the app are unchanged."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request
from tests.stack.test_headers import ALWAYS
from tests.stack.waiting import ROOT, until

ERRORS = {
    "400 Bad Request": request(host=b"Host: a b"),
    "404 Not Found": request(b"/static/.nope"),
    "405 Method Not Allowed": request(b"/", b"BREW"),
    "413 Content Too Large": request(b"/echo", b"POST", body=b"x" * 1_048_577),
    "431 Request Header Fields Too Large": request(headers=(b"Cookie: " + b"x" * 9000,)),
    "501 Not Implemented": request(b"/echo", b"POST", (b"Transfer-Encoding: gzip, chunked",)),
}
FORMATS = {"text/html": "text/html; charset=utf-8", "application/json": "application/problem+json"}


def asking(sent, accept):
    """Return the request with this Accept."""
    return sent.replace(b"\r\n", f"\r\nAccept: {accept}\r\n".encode(), 1)


def assert_ours(where, sent, title, accept):
    """Send the request, and check that the response is nginx's own error, as a page or as a problem document."""
    answer = Answer.parse(ask(where, sent), "GET")
    status = int(title.partition(" ")[0])
    assert (answer.status, answer.headers["Content-Type"]) == (status, FORMATS[accept])
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
    assert answer.headers["Retry-After"] == ("1" if status in (429, 503) else None)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
@pytest.mark.parametrize("title", ERRORS)
def test_error_follows_accept_and_has_the_request_id(title, accept, stack):
    assert_ours(stack, asking(ERRORS[title], accept), title, accept)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("asked", FORMATS)
@pytest.mark.parametrize(
    ("title", "line", "accept"),
    [
        ("400 Bad Request", b"GET /../x HTTP/1.1", "application/json"),
        ("414 URI Too Long", b"GET /" + b"y" * 9000 + b" HTTP/1.1", "text/html"),
        ("505 HTTP Version Not Supported", b"GET / HTTP/2.0", "application/json"),
    ],
)
def test_error_in_the_request_line_ignores_accept(title, line, accept, asked, stack):
    sent = b"%s\r\nHost: localhost\r\nAccept: %s\r\nConnection: close\r\n\r\n" % (line, asked.encode())
    assert_ours(stack, sent, title, accept)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_other_host_gets_421(accept, stack):
    with edge(stack, ALLOWED_HOSTS="example.org") as other:
        assert_ours(other, asking(request(b"/"), accept), "421 Misdirected Request", accept)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_too_many_requests_get_429(accept, stack):
    with edge(stack, CLIENT_REQUESTS="1") as other:
        until(lambda: httpx.get(other.url).status_code == 429, "the rate is exceeded")
        assert_ours(other, asking(request(b"/"), accept), "429 Too Many Requests", accept)


@pytest.fixture(scope="module")
def impatient(probe, tmp_path_factory):
    """Return an nginx whose timeouts are one second, instead of ten or thirty."""
    conf = Path(shutil.copytree(ROOT / "nginx", tmp_path_factory.mktemp("impatient") / "nginx"))
    for directive in ("client_header_timeout 10s", "client_body_timeout 10s", "proxy_read_timeout 30s"):
        pattern = re.compile(rf"^( *){directive};", re.MULTILINE)
        [file] = [file for file in conf.glob("*.conf") if pattern.search(file.read_text())]
        file.write_text(pattern.sub(rf"\1{directive.split()[0]} 1s;", file.read_text()))
    with edge(probe, conf=conf) as impatient:
        yield impatient


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_slow_app_gets_504(accept, impatient):
    assert_ours(impatient, asking(request(b"/think/3"), accept), "504 Gateway Timeout", accept)
    until(lambda: '"error":"timed out","upstream_status":"504"' in impatient.logs(), "the timeout is logged")


@pytest.fixture(scope="module")
def full(probe, tmp_path_factory):
    """Return an nginx that cannot store a request body."""
    folder = tmp_path_factory.mktemp("full")
    conf = Path(shutil.copytree(ROOT / "nginx", folder / "nginx"))
    bodies = "/tmp/bodies" if probe.kind == "docker" else f"{folder}/bodies"  # Docker: /tmp has 16 MiB
    text = (conf / "nginx.conf").read_text()
    (conf / "nginx.conf").write_text(
        text.replace("client_body_temp_path buffers/body", f"client_body_temp_path {bodies}")
    )
    with edge(probe, conf=conf, MAX_BODY_BYTES="30000000") as full:
        if probe.kind == "processes":
            shutil.rmtree(bodies)
        yield full


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("accept", FORMATS)
def test_body_that_nginx_cannot_store_gets_503(accept, full):
    sent = asking(request(b"/length", b"POST", body=b"x" * 20_000_000), accept)
    assert_ours(full, sent, "503 Service Unavailable", accept)


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "sent", [b"GET /slow HTTP/1.1\r\nHost: a\r\n", b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{"]
)
def test_slow_client_gets_no_response_and_is_logged(sent, impatient):
    before = impatient.logs().count('"status":408')
    assert ask(impatient, sent) == b""
    until(lambda: impatient.logs().count('"status":408') == before + 1, "the request is logged")


def test_stopped_app_gets_503_and_nginx_serves_the_rest(probe):
    probe.stop_app()
    try:
        for accept in FORMATS:
            assert_ours(probe, asking(request(b"/environ/"), accept), "503 Service Unavailable", accept)
            assert_ours(
                probe, asking(request(b"/environ/", b"POST", body=b"{}"), accept), "503 Service Unavailable", accept
            )
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
def test_error_of_the_app_is_unchanged(status, probe):
    answer = httpx.get(f"{probe.url}/answer/{status}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.text) == (status, "the app's own")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert not [name for name in ("Retry-After", "Allow", "Cache-Control", "Vary") if name in answer.headers]
