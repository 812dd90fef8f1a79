"""nginx's access log: one line of JSON for each request, whatever the request contains."""

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
    """Return the lines of nginx's log that contain the text; wait for the first one."""
    until(lambda: text in stack.logs("nginx"), "nginx has written its log")
    return [line for line in stack.logs("nginx").splitlines() if text in line]


def logged(stack, answer):
    """Return the log entry of the request that got this response."""
    [line] = lines(stack, f'"request_id":"{answer.headers["X-Request-ID"]}"')
    return json.loads(line)


def test_entry_describes_the_request(stack, http):
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


def test_only_nginx_logs_requests(stack, http):
    logged(stack, http.get("/hello/only-once"))
    assert (stack.logs("nginx") + (stack.logs("app") if stack.kind == "docker" else "")).count("/hello/only-once") == 1


# Requests that nginx answers with an error; the status and the path in the log.
REJECTED = {
    "hidden file": (request(b"/static/.nope?a"), 404, "/static/.nope"),
    "hidden file, for a browser": (
        request(b"/static/.nope", headers=(b"Accept: text/html",)),
        404,
        "/static/.nope",
    ),
    "wrong method": (request(b"/robots.txt", b"POST"), 405, "/robots.txt"),
    "encoded dots": (request(b"/x/%2e%2e/y?a"), 400, "/x/%2e%2e/y"),
    "malformed Host": (request(b"/a", host=b"Host: a b"), 400, "/a"),
    "quote and backslash": (request(b"/a%0A%22\\", b"BREW"), 501, "/a%0A%22\\"),
    "not UTF-8": (request(b"/a\xffb"), 400, "/a"),
    "Host that is not UTF-8": (request(b"/a", host=b"Host: a\xffb"), 400, "/a"),
    "dots": (request(b"/../x"), 400, "/../x"),
    "long path": (request(b"/" + b"y" * 9000), 414, "/" + "y" * (8192 - len("GET /"))),
    "dots in absolute form": (request(b"http://a/../x"), 400, "/../x"),
    "large header": (request(b"/y", headers=(b"Cookie: " + b"x" * 9000,)), 431, "/y"),
}
# Values of User-Agent, and the value in the log.
AGENTS = {
    b'a "quote"': 'a "quote"',
    b"a\\": "a\\",
    b'\\"}': '\\"}',
    b"a\\nb\\u0022": "a\\nb\\u0022",
    b"a\tb": "a\tb",
    b"<script>": "<script>",
    b"": "",
    b"a\xffb": "a",
    b"a\xc3\xabb": "a",
}


@pytest.fixture(scope="module")
def entries(stack):
    """Send all requests of REJECTED and AGENTS; return the response and the log entry of each."""
    # nginx writes its log once a second. These tests wait for it once.
    requests = {name: sent for name, (sent, _, _) in REJECTED.items()} | {
        agent: request(b"/about", headers=(b"User-Agent: " + agent,)) for agent in AGENTS
    }
    answers = {name: Answer.parse(ask(stack, sent), "GET") for name, sent in requests.items()}
    return {name: (answer, logged(stack, answer)) for name, answer in answers.items()}


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("name", REJECTED)
def test_rejected_request_is_logged_with_its_path(name, entries):
    _, status, path = REJECTED[name]
    answer, entry = entries[name]
    assert (answer.status, entry["status"], entry["path"]) == (status, status, path)
    assert (entry["release"], entry["upstream_seconds"]) == ("", "")


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("agent", AGENTS)
def test_user_agent_does_not_break_the_line(agent, entries):
    assert entries[agent][1]["user_agent"] == AGENTS[agent]


@pytest.mark.backend("gunicorn")
def test_queries_and_health_checks_are_not_logged(stack, http):
    last = [
        http.get(path, params={"token": "a-secret"})
        for path in ("/healthz", "/readyz", "/nginx-health", "/about", "/static/nope")
    ]
    # nginx's error log would have a line for each of these, with the request line.
    last += [http.post("/echo", params={"token": "a-secret"}, content=b"x" * size) for size in (100_000, 2_000_000)] + [
        http.get("/static/", params={"token": "a-secret"})
    ]
    logged(stack, last[-1])
    log = stack.logs("nginx")
    assert "a-secret" not in log
    assert not re.search('"path":"/(healthz|readyz|nginx-health)', log)


@pytest.mark.backend("gunicorn")
def test_every_line_is_json(stack):
    for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff \xff\r\n\r\n", b"GET /last\r\n"):
        ask(stack, sent)
    lines(stack, "/last")
    found = [json.loads(line) for line in stack.logs("nginx").splitlines() if line.startswith('{"time":"')]
    assert len({entry["request_id"] for entry in found}) == len(found) > 4
    assert len({tuple(entry) for entry in found}) == 1


def test_cut_response_is_logged_with_the_reason(probe):
    with httpx.stream("GET", f"{probe.url}/cut?20") as cut, pytest.raises(httpx.RemoteProtocolError):
        cut.read()
    with httpx.stream("GET", f"{probe.url}/download/3000") as left:
        next(left.iter_raw())
    whole = [httpx.request(method, f"{probe.url}/download/3") for method in ("GET", "HEAD")]
    errors = [(entry["status"], entry["error"]) for entry in (logged(probe, each) for each in (cut, left, *whole))]
    assert errors == [(200, "response cut short"), (200, "client left or too slow"), (200, ""), (200, "")]


def test_worker_crash_is_logged_as_no_response(probe):
    assert logged(probe, httpx.get(f"{probe.url}/die"))["error"] == "no response"
    until(probe.is_up, "the next worker is ready")


class Upstream:
    """A stack with only an upstream, which sends the same bytes in response to each request, or does not listen."""

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
def test_missing_response_is_logged_with_the_reason(name, tmp_path):
    require("processes", "gunicorn")
    sent, error = FAILURES[name]
    with Upstream(tmp_path, sent) as upstream, edge(upstream) as nginx:
        answer = Answer.parse(ask(nginx, request(b"/about", b"PUT", body=b"x")), "PUT")
        until(lambda: answer.headers["X-Request-ID"] in nginx.logs(), "nginx has written its log")
        [entry] = [json.loads(line) for line in nginx.logs().splitlines() if '"/about"' in line]
    assert (entry["error"], entry["status"]) == (error, 503 if error else 200)


@pytest.mark.backend("gunicorn")
def test_app_error_is_logged_with_the_release(probe):
    entry = logged(probe, httpx.get(f"{probe.url}/answer/503"))
    assert (entry["status"], entry["release"]) == (503, f"dev-{probe.backend}")
