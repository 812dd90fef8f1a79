"""What nginx refuses before the app hears of it: requests that are malformed, too large, too many, for another host."""

import contextlib
import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack.conftest import require
from tests.stack.edge import edge
from tests.stack.local import LocalStack
from tests.stack.test_conformance import Answer
from tests.stack.test_differential import ask, request, spelled
from tests.stack.test_processes import refusal
from tests.stack.waiting import until

HOST = (b"Host: a", b"Connection: close")
TE = b"Transfer-Encoding: chunked"
CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"
TARGET = b"/environ/"


def post(*headers, body=b"{}"):
    """Return a POST with these headers and this body."""
    return request(TARGET, b"POST", headers, body)


def chunks(body):
    return post(TE, body=body)


HOSTS = [
    b"", b"a b", b"a/b", b"a@b", b"a?b", b"a\\b", b"a:b", b"a:80:80", b"a,b", b"[::1", b"..", b"a..b", b".", b"<a>",
    b'a"b', b"a'b", b"a%20b", b"a;b", b"\xff", b"a\tb", b"a{b}", b"$host",
]  # fmt: skip
TARGETS = [
    # Dot segments, plain and encoded.
    b"/./environ/", b"/../environ/", b"/x/../environ/", b"/environ/.", b"/environ/..", b"/../../etc/passwd",
    b"/%2e/environ/", b"/%2e%2e/environ/", b"/x/%2E%2e/environ/", b"/x/.%2e/environ/", b"/x/%2e./environ/",
    b"/x/..%2fenviron/", b"/x%2f..%2Fenviron/", b"/environ/%2e%2e", b"/environ/..%2f", b"/environ/%2e?a",
    # Bytes that no target has.
    b"/environ/\xff", b"/environ/\x01", b"/environ/\x7f", b"/environ/\x00", b"/environ/%00", b"/environ/a\rb",
    b"/environ/a b", b"/environ/#a", b"/environ/?a#b", b"/environ/?\xff", b"/environ/%", b"/environ/%zz",
    # Not origin-form, and not absolute-form with a host.
    b"environ/", b"a:80", b"*", b"", b"?a", b"http:///environ/", b"http://a b/environ/", b"http://u@a/environ/",
    b"http://a:b/environ/", b"http://\xff/environ/", b"http://a/../environ/",
]  # fmt: skip
REFUSED = {
    **{f"Host {spelled(host)}": request(TARGET, host=b"Host: " + host) for host in HOSTS},
    "no Host": request(TARGET, host=b""),
    "two Hosts": request(TARGET, headers=(b"Host: localhost",)),
    "two different Hosts": request(TARGET, headers=(b"Host: b",)),
    **{f"target {spelled(target)}": request(target) for target in TARGETS if target != b"/environ/\x7f"},
    # How long the body is.
    "two lengths": post(b"Content-Length: 2", b"Content-Length: 2"),
    "two different lengths": post(b"Content-Length: 2", b"Content-Length: 1"),
    **{
        f"length {length.decode()!r}": post(b"Content-Length: " + length)
        for length in (b"", b"+2", b"-1", b"0x2", b"2, 2", b"2a", b"a", b"2 2", b"99999999999999999999")
    },
    "a length, and chunks": post(b"Content-Length: 2", TE, body=CHUNKED),
    "chunks, and a length": post(TE, b"Content-Length: 2", body=CHUNKED),
    "chunks, twice": post(TE, TE, body=CHUNKED),
    "chunks in HTTP/1.0": b"POST /environ/ HTTP/1.0\r\n" + TE + b"\r\n\r\n" + CHUNKED,
    "a chunk without a length": chunks(b"\r\n{}\r\n0\r\n\r\n"),
    "a chunk of zz": chunks(b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk of -2": chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk of 0x2": chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": chunks(b"2\r\n{}}\r\n0\r\n\r\n"),
    "a chunk of more than there are numbers": chunks(b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "a CR in a chunk's extension": chunks(b"2;\ra\r\n{}\r\n0\r\n\r\n"),
    # Lines.
    "CR as the end of every line": b"GET /environ/ HTTP/1.1\rHost: a\rConnection: close\r\r",
    "CR as the end of a line": b"GET /environ/ HTTP/1.1\r\nHost: a\rConnection: close\r\n\r\n",
    "CR CR LF": b"GET /environ/ HTTP/1.1\r\r\nHost: a\r\nConnection: close\r\n\r\n",
    "CR in a field": request(TARGET, headers=(b"X-A: a\rX-B: b",)),
    "CR in a name": request(TARGET, headers=(b"X\r-A: a",)),
    "a folded line": request(TARGET, headers=(b"X-A: a", b" b")),
    "a line folded by a tab": request(TARGET, headers=(b"X-A: a", b"\tb")),
    "a folded first line": b"GET /environ/ HTTP/1.1\r\n X-A: b\r\nHost: a\r\nConnection: close\r\n\r\n",
    "a blank before the colon": request(TARGET, headers=(b"X-A : a",)),
    "a blank before the colon of the length": post(b"Content-Length : 2"),
    "a blank before the colon of chunks": post(b"Transfer-Encoding : chunked", body=CHUNKED),
    "a blank in a name": request(TARGET, headers=(b"X A: a",)),
    "no name": request(TARGET, headers=(b": a",)),
    "NUL in a field": request(TARGET, headers=(b"X-A: a\x00b",)),
    "NUL in a name": request(TARGET, headers=(b"X\x00A: a",)),
    "a control character in a name": request(TARGET, headers=(b"X\x01A: a",)),
    "a tab in the first line": b"GET\t/environ/\tHTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "a version of its own": b"GET /environ/ HTTQ/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "a version in small letters": b"GET /environ/ http/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
# What is well-formed, and not for us.
REFUSED_OTHERWISE = {
    **{f"method {method}": (405, request(TARGET, method.encode())) for method in ["TRACE", "BREW", "PROPFIND", "LINK"]},
    "a coding of the body that nginx does not know": (501, post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED)),
    "a coding that is almost one": (501, post(b"Transfer-Encoding: xchunked", body=CHUNKED)),
    "a coding that is none": (501, post(b"Transfer-Encoding: identity", b"Content-Length: 2")),
    "HTTP/2 in clear": (505, b"GET /environ/ HTTP/2.0\r\nHost: a\r\n\r\n"),
}


def count(stack):
    """Return how many requests the app has had."""
    return int(Answer.parse(ask(stack, request(b"/count")), "GET").body)


@contextlib.contextmanager
def unheard(stack):
    """See that the app does not hear of it."""
    before = count(stack)
    yield
    assert count(stack) == before + 1


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_OTHERWISE])
def test_a_request_that_is_none_is_refused_and_the_app_does_not_hear_of_it(name, probe):
    status, sent = REFUSED_OTHERWISE.get(name) or (400, REFUSED[name])
    with unheard(probe):
        answer = Answer.parse(ask(probe, sent), "GET")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert len(answer.headers.get_all("X-Request-ID")) == 1


@pytest.mark.backend("gunicorn")
def test_a_tunnel_and_a_method_in_small_letters_are_refused(probe):
    with unheard(probe):
        for method in (b"CONNECT", b"get", b"PRI"):
            assert Answer.parse(ask(probe, request(b"/environ/", method)), "GET").status in (400, 405)


@pytest.mark.backend("gunicorn")
def test_lines_that_end_in_LF_alone_reach_the_app_as_lines(probe):  # noqa: N802 (its name)
    """Neither nginx can refuse them, and RFC 9112, 2.2, lets it take them: what it hands on ends in CR LF."""
    with_lf = b"GET /environ/ HTTP/1.1\nHost: a\nX-A: a\nX-B: b\nConnection: close\n\n"
    answer = Answer.parse(ask(probe, with_lf), "GET")
    environ = json.loads(answer.body)
    assert [environ[name] for name in ("HTTP_HOST", "HTTP_X_A", "HTTP_X_B")] == ["a", "a", "b"]
    # The newer of the two refuses such chunks; of the older the app gets them as one body with its length.
    answer = Answer.parse(ask(probe, chunks(b"2\n{}\n0\n\n")), "POST")
    if probe.kind == "docker":
        assert answer.status == 400
    else:
        environ = json.loads(answer.body)
        assert (environ["CONTENT_LENGTH"], environ["the body"]) == ("2", "{}")


# --- How large, how long, how many ---------------------------------------------------------------------------------


def line(length):
    """Return a request whose first line has so many bytes, its end included."""
    return request(TARGET + b"y" * (length - len(b"GET  HTTP/1.1\r\n") - len(TARGET)))


def field(length, times=1):
    """Return a request with a field of so many bytes, its line's end included."""
    return request(TARGET, headers=tuple(b"X-%d: %s" % (each, b"y" * (length - 7)) for each in range(times)))


def body_of(length):
    return request(TARGET, b"POST", body=b"y" * length)


def in_chunks(length):
    return chunks(b"%x\r\n%s\r\n0\r\n\r\n" % (length, b"y" * length))


@pytest.mark.parametrize(
    ("largest", "too_large", "status"),
    [
        (line(8192), line(8193), 414),
        (field(8192), field(8193), 431),
        (field(8190, times=4), field(8190, times=5), 431),
        (body_of(1_048_576), body_of(1_048_577), 413),
        (in_chunks(1_048_576), in_chunks(1_048_577), 413),
    ],
    ids=["the first line", "a field", "all fields", "the body", "the body in chunks"],
)
def test_what_is_as_large_as_the_limit_is_taken_and_one_byte_more_is_not(largest, too_large, status, probe):
    assert Answer.parse(ask(probe, largest), "GET").status == 200
    with unheard(probe):
        assert Answer.parse(ask(probe, too_large), "GET").status == status


@pytest.mark.backend("gunicorn")
def test_the_largest_body_is_one_setting(stack):
    services = (
        json.loads(stack.compose("config", "--format", "json", MAX_BODY_BYTES="10").stdout)["services"]
        if stack.kind == "docker"
        else {}
    )
    assert all(services[name]["environment"]["MAX_BODY_BYTES"] == "10" for name in services if name in ("app", "nginx"))
    with edge(stack, MAX_BODY_BYTES="10") as other:
        assert httpx.post(f"{other.url}/echo", json="x" * 8).json() == "x" * 8
        assert "X-Release" not in httpx.post(f"{other.url}/echo", json="x" * 9).headers
        assert httpx.post(f"{other.url}/echo", json="x" * 9).status_code == 413


def test_three_uploads_of_100_mb_at_once_are_taken(probe):
    size = 100_000_000
    with edge(probe, MAX_BODY_BYTES="110000000") as other, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(httpx.post, f"{other.url}/length", content=b"x" * size, timeout=120) for _ in range(3)]
        assert [answer.result().text for answer in answers] == [str(size)] * 3


@pytest.mark.kind("docker")
@pytest.mark.backend("gunicorn")
def test_a_body_limit_beyond_the_free_space_stops_the_start(stack):
    mounts = [f"--tmpfs={path}:uid=101,size=1m" for path in ("/run/nginx", "/run/nginx/buffers")]
    command = [*mounts, "--env=MAX_BODY_BYTES=2000000", f"{stack.project}-nginx:local"]
    ended = subprocess.run(
        ["docker", "run", "--rm", "--network=none", *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 78
    assert (
        "nginx: MAX_BODY_BYTES is '2000000': it must be at most 1048576, the free bytes in /run/nginx/buffers"
        in ended.stderr
    )


@pytest.mark.backend("gunicorn")
def test_a_client_may_ask_as_often_as_it_likes_unless_it_is_told_otherwise(stack):
    with httpx.Client() as client:
        assert {client.get(f"{stack.url}/healthz").status_code for _ in range(300)} == {200}


@pytest.mark.backend("gunicorn")
def test_too_many_requests_of_one_client_are_refused_and_another_is_served(probe):
    own = httpx.get(f"{probe.url}/environ/").json()["REMOTE_ADDR"]
    with edge(probe, CLIENT_REQUESTS="2", TRUSTED_PROXIES=own) as limited, httpx.Client() as client:

        def get(path, address):
            return client.get(limited.url + path, headers={"X-Forwarded-For": address}).status_code

        until(lambda: get("/environ/", "192.0.2.1") == 429, "it is too much")
        assert get("/environ/", "192.0.2.2") == 200
        assert get("/robots.txt", "192.0.2.3") == 200
        until(lambda: get("/environ/", "192.0.2.1") == 200, "it is taken again")


@pytest.mark.kind("processes")
@pytest.mark.backend("gunicorn")
def test_a_client_is_told_from_another_by_its_address(stack):
    other = httpx.HTTPTransport(local_address="127.0.0.2")
    with edge(stack, CLIENT_REQUESTS="1") as limited, httpx.Client(transport=other) as neighbour:
        until(lambda: httpx.get(limited.url).status_code == 429, "it is too much")
        assert neighbour.get(limited.url).status_code == 200


@pytest.mark.backend("gunicorn")
def test_a_client_may_have_so_many_requests_in_flight(probe):
    with edge(probe, CLIENT_REQUESTS="2") as limited, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(limited.url.rpartition(":")[2]))
        before = count(probe)
        for _ in range(2):
            held.enter_context(socket.create_connection(address)).sendall(request(b"/think/5"))
        until(lambda: count(probe) >= before + 3, "both are in flight")
        # The rate would allow for a third one.
        assert httpx.get(f"{limited.url}/environ/").status_code == 429


@pytest.fixture(scope="module")
def named(stack):
    """Return an edge that answers for some hosts."""
    with edge(stack, ALLOWED_HOSTS="Example.org,*.example.com, 10.0.0.1,example.org") as named:
        yield named


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "host",
    ["example.org", "EXAMPLE.org", "example.org:81", "example.org.", "a.example.com", "a.b.example.com:1", "10.0.0.1"],
)
def test_a_host_that_is_allowed_is_served(host, named):
    assert "It serves." in httpx.get(named.url, headers={"Host": host, "Accept": "text/html"}).text


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "host",
    ["example.com", "notexample.org", "www.example.org", "example.org.evil.example", "127.0.0.1", "localhost", "_"],
)
@pytest.mark.parametrize("path", ["/", "/robots.txt", "/healthz", "/static/", "/nope"])
def test_a_host_that_is_not_allowed_gets_nothing_of_the_site(host, path, named):
    answer = httpx.get(named.url + path, headers={"Host": host})
    assert (answer.status_code, answer.json()["title"]) == (421, "Misdirected Request")
    claimed = httpx.get(named.url + path, headers={"Host": host, "X-Forwarded-Host": "example.org"})
    assert claimed.status_code == 421


@pytest.mark.backend("gunicorn")
def test_a_request_for_no_host_gets_nothing_of_the_site_and_the_health_check_is_answered(named):
    assert ask(named, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert ask(named, b"GET http://evil.example/ HTTP/1.0\r\nHost: example.org\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert httpx.get(f"{named.url}/nginx-health").status_code == 204


# --- Settings ------------------------------------------------------------------------------------------------------

BAD = [
    ("MAX_BODY_BYTES", "1m"), ("MAX_BODY_BYTES", "0"), ("MAX_BODY_BYTES", "1;"), ("CLIENT_REQUESTS", "0"),
    ("CLIENT_REQUESTS", "1.5"), ("CLIENT_REQUESTS", "many"), ("PROXY_PROTOCOL", "yes"), ("ALLOWED_HOSTS", "*"),
    ("ALLOWED_HOSTS", "http://example.org"), ("ALLOWED_HOSTS", "example.org:80"), ("ALLOWED_HOSTS", "a..b"),
    ("ALLOWED_HOSTS", "$host"), ("TRUSTED_PROXIES", "nginx"), ("TRUSTED_PROXIES", "10.0.0.256"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "::1/129"), ("TRUSTED_PROXIES", "10.0.0.1;"),
]  # fmt: skip


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_setting_of_nginx_stops_its_start_with_one_sentence(name, value, stack):
    if stack.kind == "docker":
        ended = stack.compose("run", "--rm", "--no-deps", "nginx", check=False, **{name: value})
        code, said = ended.returncode, ended.stdout + ended.stderr
        assert code == 78
        assert [text for text in said.splitlines() if "it must be" in text]
    else:
        said = refusal(LocalStack(stack.backend, **{name: value}))
    assert f": {name} is '{value}': it must be " in said
    assert said.count("it must be") == 1


@pytest.mark.parametrize("proxies", ["", " , "])
def test_the_proxy_protocol_without_a_trusted_proxy_stops_the_start(proxies):
    require("processes", "gunicorn")
    stack = LocalStack("gunicorn", PROXY_PROTOCOL="on", TRUSTED_PROXIES=proxies)
    assert refusal(stack).startswith("nginx: TRUSTED_PROXIES is '': it must be the address of the proxy ")
