"""Client address, scheme and host as the app sees them, behind no proxy, a trusted one, and an untrusted one."""

import re
import socket

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_conformance import Answer, exchange
from tests.stack.waiting import ROOT

# Each header that nginx removes, because other proxies name an address or a user in it.
CLEARED = re.findall(
    r'^proxy_set_header (\S+) "";',
    "".join((ROOT / "nginx" / f"{name}.conf").read_text() for name in ("proxy", "identity")),
    re.MULTILINE,
)
IDENTITIES = [
    "Remote-User", "X-Remote-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups",
    "X-Auth-Request-Preferred-Username", "X-Auth-Request-Access-Token", "X-Forwarded-User", "X-Forwarded-Email",
    "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-authentik-username",
    "X-Pomerium-Jwt-Assertion", "X-Vouch-User", "X-Auth-Username", "X-Token-User-Email", "X-Consumer-Username",
    "X-WebAuth-Email", "Client-Cert", "SSL-Client-Verify", "X-SSL-Client-DN", "X-Forwarded-Tls-Client-Cert",
]  # fmt: skip
ADDRESSES = [
    "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Real-IP", "X-Cluster-Client-IP",
    "X-Forwarded", "X-Forwarded-Path", "X-Forwarded-Uri", "X-Remote-Addr", "X-Original-URL", "X-Url-Scheme",
]  # fmt: skip
# Headers with which a client may claim to be another client.
CLAIMS = {
    **dict.fromkeys(CLEARED, "root"),
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
}


def seen(url, headers=(), **options):
    """Return the environ that the app sees."""
    return httpx.get(f"{url}/environ/a", headers=dict(headers), **options).json()


def traits(environ):
    """Return the values of environ that describe the client and the host."""
    names = ["REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO"]
    return tuple(environ[name] for name in names)


@pytest.fixture(scope="module")
def client(probe):
    """Return this machine's address as nginx sees it: loopback, or the address of the containers' network here."""
    return seen(probe.url)["REMOTE_ADDR"]


@pytest.fixture(scope="module")
def trusting(probe, client):
    """Return an nginx that trusts this machine as a proxy."""
    with edge(probe, TRUSTED_PROXIES=f"{client},10.0.0.0/8") as trusting:
        yield trusting


def test_app_sees_client_scheme_and_host(probe):
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
def test_app_sees_host_and_port_of_the_request(host, name, port, probe, client):
    asked = host.lower()
    assert traits(seen(probe.url, {"Host": host})) == (client, "http", asked, name, port, "/environ", "/a")


@pytest.mark.parametrize("scheme", [b"http", b"HTTP", b"a1", b"x+y.z-"])
def test_absolute_target_sets_host_and_port(scheme, probe):
    target = b"GET " + scheme + b"://b.example:82/environ/a HTTP/1.1\r\nHost: a.example:81\r\nConnection: close\r\n\r\n"
    environ = Answer.parse(send(probe.url, target), "GET")
    assert b'"HTTP_HOST": "b.example:82"' in environ.body
    assert b'"SERVER_PORT": "82"' in environ.body


def test_the_app_gets_no_header_that_its_default_implies(probe):
    implied = {"HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_REAL_IP"}
    assert implied.isdisjoint(seen(probe.url))


def test_forwarding_headers_of_a_client_are_ignored(probe):
    plain, claimed = seen(probe.url), seen(probe.url, CLAIMS)
    varies = {"HTTP_X_REQUEST_ID", "uwsgi.core", "gunicorn.socket"}
    assert {k: v for k, v in claimed.items() if k not in varies} == {k: v for k, v in plain.items() if k not in varies}


def test_every_usual_header_for_a_user_or_an_address_is_removed():
    assert {*IDENTITIES, *ADDRESSES} <= {*CLEARED}


def test_only_a_trusted_proxy_names_a_user_and_only_in_the_headers_of_the_setting(probe, client, trusting):
    claims = dict.fromkeys(IDENTITIES, "ada")
    found = [f"HTTP_{name.upper().replace('-', '_')}" for name in IDENTITIES]
    assert not {*found} & seen(trusting.url, claims).keys()
    allowed = {"IDENTITY_HEADERS": "x-forwarded-user, Remote-User"}
    with edge(probe, TRUSTED_PROXIES=client, **allowed) as passing:
        environ = seen(passing.url, claims)
        assert {name: environ[name] for name in found if name in environ} == {
            "HTTP_X_FORWARDED_USER": "ada", "HTTP_REMOTE_USER": "ada"
        }  # fmt: skip
    with edge(probe, TRUSTED_PROXIES="192.0.2.1", **allowed) as refusing:
        assert not {*found} & seen(refusing.url, claims).keys()


def test_headers_of_a_trusted_proxy_are_used(trusting):
    claims = {name: value for name, value in CLAIMS.items() if name.startswith("X-Forwarded")}
    assert traits(seen(trusting.url, claims)) == (
        "203.0.113.7", "https", "evil.example:444", "evil.example", "444", "/environ", "/a"
    )  # fmt: skip


def test_hsts_follows_the_scheme_of_the_trusted_proxy(trusting):
    for scheme, expected in {"https": "max-age=63072000", "http": None}.items():
        answer = httpx.get(trusting.url, headers={"X-Forwarded-Proto": scheme})
        assert answer.headers.get("Strict-Transport-Security") == expected


def test_trusted_proxy_may_pass_the_host_on(trusting, client):
    assert traits(seen(trusting.url, {"Host": "a.example:81", "X-Forwarded-Proto": "https"})) == (
        client, "https", "a.example:81", "a.example", "81", "/environ", "/a"
    )  # fmt: skip
    assert seen(trusting.url, {"Host": "a.example", "X-Forwarded-Proto": "https"})["SERVER_PORT"] == "443"


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),  # through two trusted proxies
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the client sent the first address itself
        ("198.51.100.1, 203.0.113.7, 10.1.2.3, 10.0.0.1", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_client_is_the_last_address_before_the_trusted_proxies(chain, address, trusting):
    assert seen(trusting.url, {"X-Forwarded-For": chain})["REMOTE_ADDR"] == address


@pytest.mark.parametrize("claim", ["nonsense", "<script>", "203.0.113.7, nonsense", ""])
def test_malformed_address_is_ignored(claim, trusting, client):
    assert seen(trusting.url, {"X-Forwarded-For": claim})["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "<script>"),
        ("X-Forwarded-Host", "a/b"),
        ("X-Forwarded-Host", ".a"),
        ("X-Forwarded-Host", "a:99999999"),
        ("X-Forwarded-Host", "a:0"),
        ("X-Forwarded-Port", "x"),
        ("X-Forwarded-Port", "0"),
        ("X-Forwarded-Port", "65536"),
        ("X-Forwarded-Port", "70000"),
    ],
)
def test_malformed_header_of_a_trusted_proxy_is_ignored(name, claim, trusting, client):
    expected = (client, "http", "a.example:81", "a.example", "81", "/environ", "/a")
    assert traits(seen(trusting.url, {"Host": "a.example:81", name: claim})) == expected


def send(url, sent):
    """Send the bytes, and return everything received."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        return exchange(connection, sent)


PROXY = b"PROXY TCP4 203.0.113.7 192.0.2.1 4321 443\r\n"
REQUEST = b"GET /environ/a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n"
CLAIM = b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"


@pytest.mark.parametrize("trusted", [True, False])
def test_proxy_protocol_is_used_from_a_trusted_proxy_only(trusted, probe, client):
    with edge(probe, PROXY_PROTOCOL="on", TRUSTED_PROXIES=client if trusted else "192.0.2.1") as behind:
        answer = Answer.parse(send(behind.url, PROXY + REQUEST + CLAIM + b"\r\n"), "GET")
        assert b'"REMOTE_ADDR": "%s"' % (b"203.0.113.7" if trusted else client.encode()) in answer.body
        assert b'"HTTP_HOST": "a.example"' in answer.body
        assert b'"wsgi.url_scheme": "http"' in answer.body
        assert send(behind.url, REQUEST + b"\r\n") == b""
