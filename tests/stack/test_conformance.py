"""The app returns the same responses on each WSGI server, without nginx."""

import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.waiting import free_port, until
from tests.tree import reference_tree

LIMIT = 1_048_576  # bytes of a body: MAX_BODY_BYTES
NOBODY = 65534


def as_nobody() -> str:
    """Return a command prefix that drops root, because Apache does not start as root; empty for other users."""
    if os.geteuid() != 0:
        return ""
    status = Path("/proc/self/status").read_text()
    may_grant = int(re.findall(r"^CapPrm:\t([0-9a-f]+)$", status, re.MULTILINE)[0], 16) >> 2 & 1
    # CAP_DAC_READ_SEARCH, to read a clone below /root. Most containers do not have it.
    look = " --inh-caps=+dac_read_search --ambient-caps=+dac_read_search" if may_grant else ""
    return f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups{look} "


HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"
PAGE = "text/html; charset=utf-8"
ANYTHING = {"content_type": "", "text": ""}


@dataclass(frozen=True)
class Case:
    """A request and its expected response; `target` is sent unchanged in the request line."""

    target: bytes
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    version: str = "HTTP/1.1"
    status: int | None = 200  # None: any status, or no response
    content_type: str = ""
    text: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


CHUNKED = b"a\r\n[1, 2, 3, \r\n7;a=b\r\n4, 5, 6\r\n1\r\n]\r\n0\r\n\r\n"
CASES = {
    "home": Case(b"/", headers=HTML, content_type=PAGE, text="It serves."),
    "about": Case(b"/about", headers=HTML, content_type=PAGE, text="Where to begin"),
    "hello, percent-encoded UTF-8": Case(b"/hello/Zo%C3%AB%20B", content_type=PAGE, text="Hello, Zoë B!"),
    "hello, raw UTF-8": Case("/hello/Zoë".encode(), content_type=PAGE, text="Hello, Zoë!"),
    "hello, markup": Case(b"/hello/%3Cb%3E%22", text="Hello, &lt;b&gt;&#34;!"),
    "hello, an encoded percent sign": Case(b"/hello/100%25", text="Hello, 100%!"),
    "hello, plus is not a space": Case(b"/hello/a+b", text="Hello, a+b!"),
    "hello, a long name": Case(b"/hello/" + b"y" * 3000, text="y" * 3000),
    "healthz": Case(b"/healthz", content_type="application/json", text='{"status": "ok"}'),
    "readyz": Case(b"/readyz", text='{"status": "ok", "checks": {}}'),
    "version": Case(b"/version", text='"release": "dev"'),
    "stream": Case(b"/stream", text="".join(f"chunk {number} of 7\n" for number in range(1, 8))),
    "HTTP/1.0": Case(b"/healthz", version="HTTP/1.0", text='{"status": "ok"}'),
    "a query": Case(b"/hello/x?name=%ff&y=a+b&z=%2F..%2F?", text="Hello, x!"),
    "an empty query": Case(b"/healthz?", text='{"status": "ok"}'),
    "raw bytes in the query": Case(b"/healthz?\xe9=\xff", text='{"status": "ok"}'),
    "unknown path": Case(b"/nope", status=404, content_type=PROBLEM, text='"status": 404'),
    "unknown path, for a browser": Case(b"/nope", headers=HTML, status=404, content_type=PAGE, text="404 Not Found"),
    "a trailing slash": Case(b"/about/", status=404),
    "two leading slashes": Case(b"//about", status=404),
    "two slashes inside": Case(b"/hello//x", status=404),
    "an encoded slash": Case(b"/hello/a%2Fb", status=404),
    "an encoded backslash": Case(b"/hello/a%5Cb", text="Hello, a\\b!"),
    "a dot": Case(b"/./about", status=404),
    "two dots": Case(b"/hello/../about", status=404),
    "encoded dots": Case(b"/hello/%2e%2e/about", status=404),
    "percent-encoded bytes that are not UTF-8": Case(b"/hello/%ff", status=404),
    "raw bytes that are not UTF-8": Case(b"/hello/\xff", status=404),
    "NUL": Case(b"/static/style.css%00", status=404),
    "a wrong method": Case(b"/about", "DELETE", status=405, answers={"Allow": "GET, HEAD, OPTIONS"}),
    "a wrong method, for a browser": Case(b"/echo", headers=HTML, status=405, content_type=PAGE, text="405 Method"),
    "a method that HTTP does not define": Case(b"/about", "BREW", status=405, answers={"Allow": "GET, HEAD, OPTIONS"}),
    "OPTIONS": Case(b"/echo", "OPTIONS", status=204, answers={"Allow": "OPTIONS, POST"}),
    "HEAD": Case(b"/healthz", "HEAD", content_type="application/json", answers={"Content-Length": "16"}),
    "HEAD of a generator": Case(b"/stream", "HEAD", content_type="text/plain; charset=utf-8"),
    "HEAD of an unknown path": Case(b"/nope", "HEAD", status=404),
    "HEAD of a static file": Case(b"/static/style.css", "HEAD", content_type="text/css; charset=utf-8"),
    "JSON": Case(b"/echo", "POST", JSON, b'{"a": [1, null, "Zo\xc3\xab"]}', text=json.dumps({"a": [1, None, "Zoë"]})),
    "JSON, at the size limit": Case(b"/echo", "POST", JSON, b'"%s"' % (b"x" * (LIMIT - 2)), text="x" * (LIMIT - 2)),
    "JSON, too large": Case(b"/echo", "POST", JSON, b"1" * (LIMIT + 1), status=413, text=f"The limit is {LIMIT} bytes"),
    "JSON, chunked": Case(
        b"/echo", "POST", JSON | {"Transfer-Encoding": "chunked"}, CHUNKED, text="[1, 2, 3, 4, 5, 6]"
    ),
    "bad JSON": Case(b"/echo", "POST", JSON, b"{", status=400, content_type=PROBLEM, text="The body is not JSON"),
    "no body": Case(b"/echo", "POST", JSON, status=400, text="The body is not JSON"),
    "another media type": Case(b"/echo", "POST", {"Content-Type": "text/plain"}, b"{}", status=415),
    "no media type": Case(b"/echo", "POST", {}, b"{}", status=415),
    "an unread body": Case(b"/about", "POST", {}, b"x" * 1000, status=405),
    "a header of 8 kB": Case(b"/healthz", headers={"Cookie": "x" * 8000}, text='{"status": "ok"}'),
    "a valid request id": Case(b"/nope", headers={"X-Request-ID": "a-B-9"}, status=404, text='"a-B-9"'),
    "an invalid request id": Case(b"/nope", headers={"X-Request-ID": "a b"}, status=404),
    "a static file": Case(b"/static/style.css", content_type="text/css; charset=utf-8", text=":root {"),
    "a missing static file": Case(b"/static/nope.css", status=404),
    "a file above the static folder, encoded": Case(b"/static/..%2fwsgi.py", status=404),
    "a file above the static folder": Case(b"/static/../wsgi.py", status=404),
}


@dataclass(frozen=True)
class Server:
    """A server's command line, its handling of connections, and the cases whose responses differ, with reasons."""

    command: str
    keeps_alive: bool = False
    closes_silently: str = ""
    otherwise: Mapping[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict)


def differ(reason: str, *names: str, **changes: object) -> dict[str, tuple[dict[str, object], str]]:
    """Return the changed fields and the reason for each of these cases."""
    return dict.fromkeys(names, (changes, reason))


RAW = ("raw bytes in the query", "hello, raw UTF-8", "raw bytes that are not UTF-8")
REFUSES_RAW = differ("rejects a target that is not ASCII (RFC 3986, 2)", *RAW, status=400, **ANYTHING)
NO_CHUNKED = differ(
    "does not decode chunks, so the app reads an empty body",
    "JSON, chunked", status=400, text="The body is not JSON",
)  # fmt: skip
ONE_SLASH = differ("merges leading slashes", "two leading slashes", status=200, text="Where to begin")
DOTS = differ("resolves dot segments (RFC 3986, 5.2.4)", "a dot", "two dots", status=200, text="Where to begin")
SMALL_BUFFER = differ("its default buffer is 4 kB", "a header of 8 kB", "hello, a long name", status=0, **ANYTHING)
LOSES_413 = differ(
    "its HTTP router can lose a response that is sent before the body is read",
    "JSON, too large",
    status=None,
    **ANYTHING,
)
OTHERS = {"gunicorn-epoll", "mod_wsgi", "waitress"}  # no backend here: they show that the app is portable
SERVERS = {
    "wsgiref": Server("{bin}/python -m app {port}", otherwise=NO_CHUNKED | ONE_SLASH),
    # begin gunicorn
    "gunicorn": Server("{bin}/gunicorn app.wsgi --bind 127.0.0.1:{port}", otherwise=REFUSES_RAW),
    "gunicorn-gthread": Server(
        "{bin}/gunicorn app.wsgi --bind 127.0.0.1:{port} --worker-class gthread --threads 4",
        keeps_alive=True,
        otherwise=REFUSES_RAW,
    ),
    # begin recipes
    "gunicorn-epoll": Server(
        "{bin}/gunicorn app.wsgi --bind 127.0.0.1:{port} --worker-class recipes.epoll_worker.EpollWorker --threads 4",
        otherwise=REFUSES_RAW,
    ),
    # end recipes
    # end gunicorn
    # begin uwsgi
    "uwsgi": Server(
        "{bin}/uwsgi --http 127.0.0.1:{port} --module app.wsgi --die-on-term",
        closes_silently="deploy/server/uwsgi.ini adds the header",
        otherwise=NO_CHUNKED | DOTS | SMALL_BUFFER | LOSES_413,
    ),
    "uwsgi-http-socket": Server(
        "{bin}/uwsgi --ini deploy/server/uwsgi.ini --http-socket 127.0.0.1:{port} --module app.wsgi --threads 4",
        otherwise=NO_CHUNKED | DOTS,
    ),
    # end uwsgi
    "mod_wsgi": Server(
        as_nobody() + "{bin}/mod_wsgi-express start-server --application-type module app.wsgi"
        " --host 127.0.0.1 --port {port} --server-root {folder} --locale C.UTF-8"
        " --processes 1 --threads 4 --chunked-request",
        keeps_alive=True,
        otherwise=ONE_SLASH
        | DOTS
        | differ("resolves encoded dots too", "encoded dots", status=200, text="Where to begin")
        | differ("merges slashes", "two slashes inside", status=200, text="Hello, x!"),
    ),
    "waitress": Server(
        "{bin}/waitress-serve --host 127.0.0.1 --port {port} app.wsgi:application",
        keeps_alive=True,
        otherwise=REFUSES_RAW
        | ONE_SLASH
        | differ("sends the last chunk of a body in response to HEAD", "HEAD of a generator", text="0\r\n\r\n"),
    ),
}


@dataclass(frozen=True)
class Running:
    """A running server and its port."""

    server: Server
    port: int

    def ask(self, case: Case) -> "Answer":
        """Send a request on a new connection and return the response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            return Answer.parse(exchange(connection, request(case, "close")), case.method)


@dataclass(frozen=True)
class Answer:
    """A response, with status 0 if there was none. For HEAD, `body` is everything after the headers."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @classmethod
    def parse(cls, received: bytes, method: str) -> "Answer":
        """Parse the bytes of a closed connection; raise http.client.HTTPException if the response is incomplete."""
        if not received:
            return cls(0, http.client.HTTPMessage(), b"")
        response = http.client.HTTPResponse(Received(received), method="GET" if method == "HEAD" else method)
        response.begin()
        if method == "HEAD":
            return cls(response.status, response.headers, received.partition(b"\r\n\r\n")[2])
        return cls(response.status, response.headers, response.read())


class Received(socket.socket):
    """A socket for http.client that returns bytes received earlier."""

    def __init__(self, received: bytes) -> None:
        self.received = received

    def makefile(self, *arguments: object, **keywords: object) -> io.BytesIO:  # type: ignore[override]
        return io.BytesIO(self.received)


def request(case: Case, connection: str) -> bytes:
    """Return the bytes of the request."""
    length = {} if "Transfer-Encoding" in case.headers or not case.body else {"Content-Length": str(len(case.body))}
    headers = {"Host": "localhost", "Connection": connection} | length | dict(case.headers)
    lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    line = case.method.encode() + b" " + case.target + b" " + case.version.encode()
    return b"\r\n".join([line, *lines, b"", case.body])


def exchange(connection: socket.socket, sent: bytes) -> bytes:
    """Send the bytes, and return everything received until the server closes or resets the connection."""
    received = b""
    with suppress(BrokenPipeError, ConnectionResetError):  # the server has responded before the end of the body
        connection.sendall(sent)
    with suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.xdist_group(f"alone-{name}"), *[pytest.mark.nightly] * (name in OTHERS)])
        for name in SERVERS
    ],
)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Run the application on one server, without settings."""
    server = SERVERS[request.param]
    folder = Path(tempfile.mkdtemp())  # not below pytest's folder, which other users cannot read
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    port = free_port()
    command = [
        part.format(bin=f"{sys.prefix}/bin", port=port, folder=folder / "root") for part in server.command.split()
    ]
    if lacking := [part for part in command if part.startswith(f"{sys.prefix}/bin/") and not shutil.which(part)]:
        folder.rmdir()
        pytest.skip(f"{request.param} without nginx: {lacking[0]} is not installed")
    environ = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=reference_tree(), env=environ, stdout=log, stderr=log)
    try:
        until(lambda: answers(port) or process.poll() is not None, f"{request.param} is ready")
        assert process.poll() is None, (folder / "log").read_text()
        yield Running(server, port)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def answers(port: int) -> bool:
    """Return whether the application responds."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("name", CASES)
def test_every_server_returns_same_response(name, running):
    changes, _ = running.server.otherwise.get(name, ({}, ""))
    case = replace(CASES[name], **changes)
    answer = running.ask(case)
    assert case.status in {answer.status, None}
    assert case.text in answer.body.decode(errors="replace")
    assert case.content_type in ("", answer.headers["Content-Type"])
    assert case.answers.items() <= dict(answer.headers).items()
    if case.method == "HEAD" and not case.text:
        assert answer.body == b""


@pytest.mark.parametrize(("sent", "is_kept"), [("a-B-9", True), ("a b", False), ("", False), ("x" * 200, False)])
def test_response_has_one_request_id_and_keeps_a_valid_one(sent, is_kept, running):
    for path in (b"/", b"/nope", b"/stream", b"/static/style.css", b"/static/nope"):
        method = "HEAD" if path == b"/stream" else "GET"  # GET takes three seconds
        [found] = running.ask(Case(path, method, {"X-Request-ID": sent})).headers.get_all("X-Request-ID")
        assert found == sent if is_kept else re.fullmatch("[0-9a-f]{32}", found)


def test_matching_etag_gets_304_without_body(running):
    etags = {path: running.ask(Case(path)).headers["ETag"] for path in (b"/hello/x", b"/static/style.css")}
    assert any(etags.values())
    for path, etag in etags.items():
        if etag:
            answer = running.ask(Case(path, headers={"If-None-Match": etag}))
            assert (answer.status, answer.headers["ETag"], answer.body) == (304, etag, b"")


@pytest.mark.parametrize("name", ["about", "JSON", "an unread body", "HEAD", "OPTIONS", "unknown path"])
def test_connection_is_kept_alive_or_announced_as_closed(name, running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(request(CASES[name], "keep-alive"))
        first = http.client.HTTPResponse(connection, method=CASES[name].method)
        first.begin()
        first.read()
        assert first.status == CASES[name].status
        if first.will_close or not running.server.keeps_alive:
            assert first.will_close or running.server.closes_silently
            assert not running.server.keeps_alive or first.status == 204  # waitress closes if there is no length
            assert connection.recv(1) == b""
        else:
            assert Answer.parse(exchange(connection, request(CASES["healthz"], "close")), "GET").status == 200
