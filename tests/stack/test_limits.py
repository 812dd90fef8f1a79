"""Requests that nginx refuses: malformed, too large, too many, for another host. The app does not receive them."""

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
    b"a:0", b"a:65536", b"a:99999999", b".a",
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
    # Length of the body.
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
# Well-formed requests that nginx refuses.
REFUSED_OTHERWISE = {
    **{f"method {method}": (501, request(TARGET, method.encode())) for method in ["TRACE", "BREW", "PROPFIND", "LINK"]},
    "a coding of the body that nginx does not know": (501, post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED)),
    "a coding that is almost one": (501, post(b"Transfer-Encoding: xchunked", body=CHUNKED)),
    "a coding that is none": (501, post(b"Transfer-Encoding: identity", b"Content-Length: 2")),
    "HTTP/2 in clear": (505, b"GET /environ/ HTTP/2.0\r\nHost: a\r\n\r\n"),
}


def count(stack):
    """Return the number of requests that the app has received."""
    return int(Answer.parse(ask(stack, request(b"/count")), "GET").body)


@contextlib.contextmanager
def unheard(stack):
    """Check that the app receives no request during the block."""
    before = count(stack)
    yield
    assert count(stack) == before + 1


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_OTHERWISE])
def test_malformed_request_is_refused_before_the_app(name, probe):
    status, sent = REFUSED_OTHERWISE.get(name) or (400, REFUSED[name])
    with unheard(probe):
        answer = Answer.parse(ask(probe, sent), "GET")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert len(answer.headers.get_all("X-Request-ID")) == 1


@pytest.mark.parametrize("size", [0, 30_000, 1_000_000])
@pytest.mark.parametrize("byte", b"\x01\x08\x0b\x0c\x0e\x1f\x7f", ids=hex)
def test_control_character_in_a_field_is_refused_with_nginxs_page(byte, size, probe):
    with unheard(probe):
        answer = Answer.parse(ask(probe, request(TARGET, b"POST", (b"X-A: a%cb" % byte,), b"x" * size)), "POST")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.headers["X-Request-ID"] in answer.body.decode()


def test_1000_fields_are_accepted_and_more_are_refused_with_nginxs_page(probe):
    for count, status in ((990, 200), (1200, 431)):
        fields = tuple(b"X-%d:" % number for number in range(count))
        answer = Answer.parse(ask(probe, request(TARGET, headers=fields)), "GET")
        assert (count, answer.status) == (count, status)
        assert answer.headers["X-Request-ID"] in answer.body.decode()


@pytest.mark.backend("gunicorn")
def test_tunnel_and_lower_case_method_are_refused(probe):
    with unheard(probe):
        for method in (b"CONNECT", b"get", b"PRI"):
            assert Answer.parse(ask(probe, request(b"/environ/", method)), "GET").status in (400, 501)


@pytest.mark.backend("gunicorn")
def test_line_may_end_in_lf_alone(probe):
    """RFC 9112, 2.2, allows it, and no version of nginx can refuse it. The lines that nginx sends end in CR LF."""
    with_lf = b"GET /environ/ HTTP/1.1\nHost: a\nX-A: a\nX-B: b\nConnection: close\n\n"
    answer = Answer.parse(ask(probe, with_lf), "GET")
    environ = json.loads(answer.body)
    assert [environ[name] for name in ("HTTP_HOST", "HTTP_X_A", "HTTP_X_B")] == ["a", "a", "b"]
    # nginx in the image refuses such chunks. An older nginx passes them on as one body with its length.
    answer = Answer.parse(ask(probe, chunks(b"2\n{}\n0\n\n")), "POST")
    if probe.kind == "docker":
        assert answer.status == 400
    else:
        environ = json.loads(answer.body)
        assert (environ["CONTENT_LENGTH"], environ["the body"]) == ("2", "{}")


# --- Sizes and rates -----------------------------------------------------------------------------------------------


def line(length):
    """Return a request whose request line has `length` bytes, with its line end."""
    return request(TARGET + b"y" * (length - len(b"GET  HTTP/1.1\r\n") - len(TARGET)))


def field(length, times=1):
    """Return a request with `times` header lines of `length` bytes, each with its line end."""
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
    ids=["request line", "header", "all headers", "body", "chunked body"],
)
def test_size_limit_is_exact(largest, too_large, status, probe):
    assert Answer.parse(ask(probe, largest), "GET").status == 200
    with unheard(probe):
        assert Answer.parse(ask(probe, too_large), "GET").status == status


@pytest.mark.backend("gunicorn")
def test_max_body_bytes_limits_the_body(stack):
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


def test_three_concurrent_uploads_of_100_mb_are_accepted(probe):
    size = 100_000_000
    with edge(probe, MAX_BODY_BYTES="110000000") as other, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(httpx.post, f"{other.url}/length", content=b"x" * size, timeout=120) for _ in range(3)]
        assert [answer.result().text for answer in answers] == [str(size)] * 3


@pytest.mark.kind("docker")
@pytest.mark.backend("gunicorn")
def test_body_limit_above_the_free_space_stops_the_start(stack):
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
def test_rate_is_unlimited_by_default(stack):
    with httpx.Client() as client:
        assert {client.get(f"{stack.url}/healthz").status_code for _ in range(300)} == {200}


@pytest.mark.backend("gunicorn")
def test_rate_limit_counts_each_client(probe):
    own = httpx.get(f"{probe.url}/environ/").json()["REMOTE_ADDR"]
    with edge(probe, CLIENT_REQUESTS="2", TRUSTED_PROXIES=own) as limited, httpx.Client() as client:

        def get(path, address):
            return client.get(limited.url + path, headers={"X-Forwarded-For": address}).status_code

        until(lambda: get("/environ/", "192.0.2.1") == 429, "the rate is exceeded")
        assert get("/environ/", "192.0.2.2") == 200
        assert get("/robots.txt", "192.0.2.3") == 200
        until(lambda: get("/environ/", "192.0.2.1") == 200, "the rate allows a request again")


@pytest.mark.kind("processes")
@pytest.mark.backend("gunicorn")
def test_rate_limit_counts_each_address(stack):
    other = httpx.HTTPTransport(local_address="127.0.0.2")
    with edge(stack, CLIENT_REQUESTS="1") as limited, httpx.Client(transport=other) as neighbour:
        until(lambda: httpx.get(limited.url).status_code == 429, "the rate is exceeded")
        assert neighbour.get(limited.url).status_code == 200


@pytest.mark.backend("gunicorn")
def test_requests_in_flight_are_limited(probe):
    with edge(probe, CLIENT_REQUESTS="2") as limited, contextlib.ExitStack() as held:
        address = ("127.0.0.1", int(limited.url.rpartition(":")[2]))
        before = count(probe)
        for _ in range(2):
            held.enter_context(socket.create_connection(address)).sendall(request(b"/think/5"))
        until(lambda: count(probe) >= before + 3, "both are in flight")
        # The rate alone would allow a third request.
        assert httpx.get(f"{limited.url}/environ/").status_code == 429


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_check_of_a_load_balancer_is_answered_for_any_host(path, named):
    assert httpx.get(f"{named.url}{path}", headers={"Host": "192.0.2.1"}).status_code == 200


LONG_HOST = ".".join(["a" * 63] * 3 + ["b" * 61])  # RFC 1035, 2.3.4


@pytest.fixture(scope="module")
def named(stack):
    """Return an nginx that serves only some hosts."""
    others = f"{LONG_HOST},default,include,my_host,[::1]"
    with edge(stack, ALLOWED_HOSTS=f"Example.org,*.example.com, 10.0.0.1,example.org,{others}") as named:
        yield named


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "host",
    ["example.org", "EXAMPLE.org", "example.org:81", "example.org.", "a.example.com", "a.b.example.com:1", "10.0.0.1",
     LONG_HOST, "default", "include", "my_host", "[::1]:80"],
)  # fmt: skip
def test_allowed_host_is_served(host, named):
    assert "It serves." in httpx.get(named.url, headers={"Host": host, "Accept": "text/html"}).text


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize(
    "host",
    ["example.com", "notexample.org", "www.example.org", "example.org.evil.example", "127.0.0.1", "localhost", "_"],
)
@pytest.mark.parametrize("path", ["/", "/robots.txt", "/healthz/", "/static/", "/nope"])
def test_other_host_gets_421(host, path, named):
    answer = httpx.get(named.url + path, headers={"Host": host})
    assert (answer.status_code, answer.json()["title"]) == (421, "Misdirected Request")
    claimed = httpx.get(named.url + path, headers={"Host": host, "X-Forwarded-Host": "example.org"})
    assert claimed.status_code == 421


@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("host", [".example.com", ".example.org", "example.org:65536", "example.org:0"])
def test_malformed_host_gets_400(host, named):
    assert httpx.get(named.url, headers={"Host": host}).status_code == 400


@pytest.mark.backend("gunicorn")
def test_missing_host_gets_421_and_health_check_is_answered(named):
    assert ask(named, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert ask(named, b"GET http://evil.example/ HTTP/1.0\r\nHost: example.org\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert httpx.get(f"{named.url}/nginx-health").status_code == 204


# --- Settings ------------------------------------------------------------------------------------------------------

BAD = [
    ("MAX_BODY_BYTES", "1m"), ("MAX_BODY_BYTES", "0"), ("MAX_BODY_BYTES", "1;"), ("CLIENT_REQUESTS", "0"),
    ("CLIENT_REQUESTS", "1.5"), ("CLIENT_REQUESTS", "65000"),
    ("CLIENT_REQUESTS", "many"), ("PROXY_PROTOCOL", "yes"), ("ALLOWED_HOSTS", "*"),
    ("ALLOWED_HOSTS", "http://example.org"), ("ALLOWED_HOSTS", "example.org:80"), ("ALLOWED_HOSTS", "a..b"),
    ("ALLOWED_HOSTS", "$host"), ("TRUSTED_PROXIES", "nginx"), ("TRUSTED_PROXIES", "10.0.0.256"),
    ("TRUSTED_PROXIES", "1:2:3:4:5:6::1:2:3:4:5:6"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "::1/129"), ("TRUSTED_PROXIES", "10.0.0.1;"),
    ("IDENTITY_HEADERS", "x-forwarded-user"), ("IDENTITY_HEADERS", "x-forwarded-for"), ("IDENTITY_HEADERS", "a;b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_setting_stops_the_start_with_one_sentence(name, value):
    require("processes", "gunicorn")
    assert f": {name} is '{value}': it must be " in refusal(LocalStack("gunicorn", **{name: value}))


@pytest.mark.kind("docker")
@pytest.mark.backend("gunicorn")
@pytest.mark.parametrize("name", dict(BAD))
def test_bad_setting_stops_the_container_with_one_sentence(name, stack):
    value = dict(BAD)[name]
    ended = stack.compose("run", "--rm", "--no-deps", "nginx", check=False, **{name: value})
    assert ended.returncode == 78
    output = ended.stdout + ended.stderr
    assert f": {name} is '{value}': it must be " in output
    assert output.count("it must be") == 1


@pytest.mark.parametrize("proxies", ["", " , "])
def test_proxy_protocol_needs_a_trusted_proxy(proxies):
    require("processes", "gunicorn")
    stack = LocalStack("gunicorn", PROXY_PROTOCOL="on", TRUSTED_PROXIES=proxies)
    assert refusal(stack).startswith("nginx: TRUSTED_PROXIES is '': it must be the address of the proxy ")
