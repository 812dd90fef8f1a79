"""Who asks, by which scheme and for which host: what the app is told, whoever stands in front and whatever he says."""

import socket

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_conformance import Answer, exchange

# What a client may send to be taken for another.
CLAIMS = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example:444",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Protocol": "https",
    "Forwarded": "for=203.0.113.7;proto=https;host=evil.example",
    "Proxy": "http://evil.example",
    "X-Real-IP": "203.0.113.7",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-User": "root",
    "X-Forwarded-Email": "root@evil.example",
    "X-Forwarded-Groups": "wheel",
}


def seen(url, headers=(), **options):
    """Return the environ that the app sees."""
    return httpx.get(f"{url}/environ/a", headers=dict(headers), **options).json()


def traits(environ):
    """Return what of the environ tells who asks, and for what."""
    names = ["REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO"]
    return tuple(environ[name] for name in names)


@pytest.fixture(scope="module")
def client(probe):
    """Return this machine's address as nginx sees it: loopback, or the address of the containers' network here."""
    return seen(probe.url)["REMOTE_ADDR"]


@pytest.fixture(scope="module")
def trusting(probe, client):
    """Return an edge that believes this machine."""
    with edge(probe, TRUSTED_PROXIES=f"{client},10.0.0.0/8") as trusting:
        yield trusting


def test_the_app_sees_who_asks_and_for_what(probe):
    port = probe.url.rpartition(":")[2]
    address, *rest = traits(seen(probe.url))
    assert rest == ["http", f"127.0.0.1:{port}", "127.0.0.1", port, "/environ", "/a"]
    socket.inet_aton(address)
    if probe.kind == "processes":
        assert address == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("a.example", "a.example", "80"),
        ("a.example:81", "a.example", "81"),
        ("A.Example:81", "a.example", "81"),
        ("[2001:db8::1]:81", "[2001:db8::1]", "81"),
    ],
)
def test_the_app_sees_the_host_and_the_port_that_the_client_used(host, name, port, probe, client):
    asked = host.lower()
    assert traits(seen(probe.url, {"Host": host})) == (client, "http", asked, name, port, "/environ", "/a")


@pytest.mark.parametrize("scheme", [b"http", b"HTTP", b"a1", b"x+y.z-"])
def test_in_absolute_form_the_target_says_the_host_and_the_port(scheme, probe):
    target = b"GET " + scheme + b"://b.example:82/environ/a HTTP/1.1\r\nHost: a.example:81\r\nConnection: close\r\n\r\n"
    environ = Answer.parse(send(probe.url, target), "GET")
    assert b'"HTTP_HOST": "b.example:82"' in environ.body
    assert b'"SERVER_PORT": "82"' in environ.body


@pytest.mark.parametrize("name", CLAIMS)
def test_a_client_is_not_believed(name, probe):
    plain, claimed = seen(probe.url), seen(probe.url, {name: CLAIMS[name]})
    varies = {"HTTP_X_REQUEST_ID", "uwsgi.core", "gunicorn.socket"}
    assert {k: v for k, v in claimed.items() if k not in varies} == {k: v for k, v in plain.items() if k not in varies}


def test_a_trusted_proxy_is_believed(trusting):
    claims = {name: value for name, value in CLAIMS.items() if name.startswith("X-Forwarded")}
    assert traits(seen(trusting.url, claims)) == (
        "203.0.113.7", "https", "evil.example:444", "evil.example", "444", "/environ", "/a"
    )  # fmt: skip


def test_what_a_trusted_proxy_has_had_over_tls_is_asked_for_over_tls_only(trusting):
    for scheme, expected in {"https": "max-age=63072000", "http": None}.items():
        answer = httpx.get(trusting.url, headers={"X-Forwarded-Proto": scheme})
        assert answer.headers.get("Strict-Transport-Security") == expected


def test_a_trusted_proxy_that_says_nothing_of_the_host_hands_it_on(trusting, client):
    assert traits(seen(trusting.url, {"Host": "a.example:81", "X-Forwarded-Proto": "https"})) == (
        client, "https", "a.example:81", "a.example", "81", "/environ", "/a"
    )  # fmt: skip
    assert seen(trusting.url, {"Host": "a.example", "X-Forwarded-Proto": "https"})["SERVER_PORT"] == "443"


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),  # by way of two proxies of ours
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the client wrote the first one itself
        ("198.51.100.1, 203.0.113.7, 10.1.2.3, 10.0.0.1", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_client_is_the_last_address_that_is_not_a_trusted_proxy(chain, address, trusting):
    assert seen(trusting.url, {"X-Forwarded-For": chain})["REMOTE_ADDR"] == address


@pytest.mark.parametrize("claim", ["nonsense", "<script>", "203.0.113.7, nonsense", ""])
def test_an_address_that_is_none_is_not_believed(claim, trusting, client):
    assert seen(trusting.url, {"X-Forwarded-For": claim})["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "<script>"),
        ("X-Forwarded-Host", "a/b"),
        ("X-Forwarded-Port", "x"),
    ],
)
def test_a_trusted_proxy_that_speaks_nonsense_is_not_believed(name, claim, trusting, client):
    expected = (client, "http", "a.example:81", "a.example", "81", "/environ", "/a")
    assert traits(seen(trusting.url, {"Host": "a.example:81", name: claim})) == expected


def send(url, sent):
    """Send the bytes, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        return exchange(connection, sent)


PROXY = b"PROXY TCP4 203.0.113.7 192.0.2.1 4321 443\r\n"
REQUEST = b"GET /environ/a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n"
CLAIM = b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"


@pytest.mark.parametrize("trusted", [True, False])
def test_the_proxy_protocol_is_believed_from_a_trusted_proxy_only_and_a_header_never(trusted, probe, client):
    with edge(probe, PROXY_PROTOCOL="on", TRUSTED_PROXIES=client if trusted else "192.0.2.1") as behind:
        answer = Answer.parse(send(behind.url, PROXY + REQUEST + CLAIM + b"\r\n"), "GET")
        assert b'"REMOTE_ADDR": "%s"' % (b"203.0.113.7" if trusted else client.encode()) in answer.body
        assert b'"HTTP_HOST": "a.example"' in answer.body
        assert b'"wsgi.url_scheme": "http"' in answer.body
        assert send(behind.url, REQUEST + b"\r\n") == b""
