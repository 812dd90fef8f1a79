"""The access log: one line of JSON a request, whatever the request."""

import contextlib
import json
import re
import socket
import threading

import httpx
import pytest

from tests.stack.conftest import require
from tests.stack.edge import edge
from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request
from tests.stack.waiting import until


def lines(stack, text):
    """Return the lines of nginx's log that have this text in them, once there are any."""
    until(lambda: text in stack.logs("nginx"), "nginx has written its log")
    return [line for line in stack.logs("nginx").splitlines() if text in line]


def logged(stack, answer):
    """Return what is in the log of this answer's request."""
    [line] = lines(stack, f'"request_id":"{answer.headers["X-Request-ID"]}"')
    return json.loads(line)


def test_a_request_is_one_line_with_all_that_is_to_know(stack, http):
    answer = http.get("/about", headers={"User-Agent": "of the test", "Accept-Encoding": "identity"})
    entry = logged(stack, answer)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", entry.pop("time"))
    assert re.fullmatch(r"\d+\.\d\d\d", entry.pop("upstream_seconds"))
    assert entry.pop("upstream_status") == "200"
    assert isinstance(entry.pop("seconds"), float)
    assert re.fullmatch(r"127\.0\.0\.1|\d+\.\d+\.\d+\.1", entry.pop("client"))
    assert entry == {
        "request_id": answer.headers["X-Request-ID"],
        "method": "GET",
        "host": stack.url.removeprefix("http://"),
        "path": "/about",
        "status": 200,
        "bytes": len(answer.content),
        "error": "",
        "release": f"dev-{stack.backend}",
        "protocol": "HTTP/1.1",
        "tls": "",
        "user_agent": "of the test",
    }


def test_only_nginx_writes_it(stack, http):
    logged(stack, http.get("/hello/only-once"))
    assert (stack.logs("nginx") + (stack.logs("app") if stack.kind == "docker" else "")).count("/hello/only-once") == 1


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    ("sent", "status", "path"),
    [
        (request(b"/static/nope.css?a"), 404, "/static/nope.css"),
        (request(b"/static/nope.css", headers=(b"Accept: text/html",)), 404, "/static/nope.css"),
        (request(b"/static/"), 403, "/static/"),
        (request(b"/robots.txt", b"POST"), 405, "/robots.txt"),
        (request(b"/x/%2e%2e/y?a"), 400, "/x/%2e%2e/y"),
        (request(b"/a", host=b"Host: a b"), 400, "/a"),
        (request(b"/a%0A%22\\", b"BREW"), 405, "/a%0A%22\\"),
        (request(b"/a\xffb"), 400, "/a"),
        (request(b"/a", host=b"Host: a\xffb"), 400, "/a"),
        (request(b"/../x"), 400, "/../x"),
        (request(b"/" + b"y" * 9000), 414, "/" + "y" * (8192 - len("GET /"))),
        (request(b"http://a/../x"), 400, "/../x"),
        (request(b"/y", headers=(b"Cookie: " + b"x" * 9000,)), 431, "/y"),
    ],
)
def test_an_error_of_nginx_has_the_path_that_was_asked_for(sent, status, path, stack):
    answer = Answer.parse(ask(stack, sent), "GET")
    entry = logged(stack, answer)
    assert (answer.status, entry["status"], entry["path"]) == (status, status, path)
    assert (entry["release"], entry["upstream_seconds"]) == ("", "")


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b'a "quote"', 'a "quote"'),
        (b"a\\", "a\\"),
        (b'\\"}', '\\"}'),
        (b"a\\nb\\u0022", "a\\nb\\u0022"),
        (b"a\tb", "a\tb"),
        (b"<script>", "<script>"),
        (b"", ""),
        (b"a\xffb", "a"),
        (b"a\xc3\xabb", "a"),
    ],
)
def test_what_a_client_calls_itself_does_not_break_the_line(sent, found, stack):
    answer = Answer.parse(ask(stack, request(b"/about", headers=(b"User-Agent: " + sent,))), "GET")
    assert logged(stack, answer)["user_agent"] == found


@pytest.mark.backend("gunicorn")
def test_a_query_and_health_checks_are_not_logged(stack, http):
    last = [
        http.get(path, params={"token": "a-secret"})
        for path in ("/healthz", "/readyz", "/nginx-health", "/about", "/static/nope")
    ]
    # Of each of these nginx would have something to say in its error log, and quote the first line.
    last += [http.post("/echo", params={"token": "a-secret"}, content=b"x" * size) for size in (100_000, 2_000_000)] + [
        http.get("/static/", params={"token": "a-secret"})
    ]
    logged(stack, last[-1])
    log = stack.logs("nginx")
    assert "a-secret" not in log
    assert not re.search('"path":"/(healthz|readyz|nginx-health)', log)


@pytest.mark.backend("gunicorn")
def test_every_line_is_JSON(stack):  # noqa: N802 (its name)
    for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff \xff\r\n\r\n", b"GET /last\r\n"):
        ask(stack, sent)
    lines(stack, "/last")
    found = [json.loads(line) for line in stack.logs("nginx").splitlines() if line.startswith('{"time"')]
    assert len({entry["request_id"] for entry in found}) == len(found) > 4
    assert len({tuple(entry) for entry in found}) == 1


def test_a_response_that_ends_too_early_is_logged(probe):
    with httpx.stream("GET", f"{probe.url}/cut?20") as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert (logged(probe, answer)["status"], logged(probe, answer)["error"]) == (200, "response cut short")
    with httpx.stream("GET", f"{probe.url}/download/3000") as answer:
        next(answer.iter_raw())
    assert (logged(probe, answer)["status"], logged(probe, answer)["error"]) == (200, "client left or too slow")
    for method in ("GET", "HEAD"):
        assert logged(probe, httpx.request(method, f"{probe.url}/download/3"))["error"] == ""


def test_a_worker_that_dies_is_logged(probe):
    assert logged(probe, httpx.get(f"{probe.url}/die"))["error"] == "no response"
    until(probe.is_up, "another worker is there")


class Upstream:
    """A stack with only an upstream, which sends the same bytes in response to each request, or nothing."""

    def __init__(self, folder, sent):
        self.run_dir, self.sent = folder, sent
        (folder / "run").mkdir()

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        if self.sent is not None:
            self.listener.bind(str(self.run_dir / "run" / "live.sock"))
            self.listener.listen()
            (self.run_dir / "run" / "live.sock").chmod(0o666)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.recv(65_536)
                connection.sendall(self.sent)
                connection.close()


OK = b"HTTP/1.1 200 OK\r\n"
FIELD = b"X-A: %s\r\n" % (b"x" * 8000)
FAILURES = {
    "no socket": (None, "no connection"),
    "nothing": (b"", "no response"),
    "40 kB of headers": (OK + FIELD * 5 + b"\r\n", "response header too large or invalid"),
    "32 kB of headers": (OK + FIELD * 4 + b"\r\n", ""),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_log_says_why_there_is_no_response(name, tmp_path):
    require("processes", "gunicorn")
    sent, error = FAILURES[name]
    with Upstream(tmp_path, sent) as upstream, edge(upstream) as nginx:
        answer = Answer.parse(ask(nginx, request(b"/about", b"PUT", body=b"x")), "PUT")
        until(lambda: answer.headers["X-Request-ID"] in nginx.logs(), "nginx has written its log")
        [entry] = [json.loads(line) for line in nginx.logs().splitlines() if '"/about"' in line]
    assert (entry["error"], entry["status"]) == (error, 503 if error else 200)


@pytest.mark.backend("gunicorn")
def test_an_error_of_the_app_is_told_from_one_of_nginx(probe):
    entry = logged(probe, httpx.get(f"{probe.url}/answer/503"))
    assert (entry["status"], entry["release"]) == (503, f"dev-{probe.backend}")
