"""TLS in a copy of the project, as on a server: no certificate, one from an ACME authority, its renewal."""

import shutil
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509

from deploy.server.launch import BACKENDS
from tests.stack import http2
from tests.stack.acme import Authority, lacks
from tests.stack.compose import SELDOM, ComposeStack
from tests.stack.conftest import require
from tests.stack.test_differential import MORE_ROUTES
from tests.stack.waiting import ROOT, free_port, until
from tests.tree import copy_reference

DOMAIN = "site.example"
YEARS_2 = "max-age=63072000"
PROBE_ROUTES = """
from app import probe

paths = ["/cookies/{count}/{size}", "/page", "/end", "/die", "/download/{blocks}"]
application = chain(MIDDLEWARES, router(ROUTES | {"/environ/*": show} | {path: probe.TABLE[path] for path in paths}))
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            backend,
            marks=[pytest.mark.xdist_group(f"tls-{backend}"), *[pytest.mark.nightly] * (backend != BACKENDS[0])],
        )
        for backend in BACKENDS
    ],
)
def site(request, tmp_path_factory):
    """Return the site with its first certificate, and its responses before it had one."""
    require(ComposeStack.kind, request.param)
    if program := lacks():
        pytest.skip(f"TLS: {program} is not installed")
    root = tmp_path_factory.mktemp("server") / "site"
    copy_reference(root)
    with (root / "app" / "wsgi.py").open("a") as table:
        table.write(MORE_ROUTES + PROBE_ROUTES)
    shutil.copy(ROOT / "tests" / "stack" / "probe.py", root / "app" / "probe.py")
    https_port = free_port()
    files = ("docker-compose.yml", "deploy/tls/tls.yml", SELDOM)
    # One worker, for /page and /end to meet.
    settings = {"HTTPS_PORT": str(https_port), "WEB_CONCURRENCY": "1"}
    stack = ComposeStack(request.param, "-tls", files=files, root=root, **settings)
    authority = Authority(tmp_path_factory.mktemp("authority"), int(stack.url.rpartition(":")[2]))
    found = SimpleNamespace(stack=stack, port=https_port, root=root, authority=authority, plain=stack.url)
    try:
        stack.up()
        found.without_certificate = (httpx.get(f"{stack.url}/about"), httpx.get(f"{stack.url}/nginx-health"))
        found.without_certificate_log = stack.logs("nginx")
        with authority.running():
            (authority.folder / "root.pem").write_text(authority.root())
            order(found, "run", "--run-hook")
            until(lambda: answers(found), "HTTPS is answered")
            yield found
    finally:
        stack.down()


def settings(site):
    """Return the environment in which `docker compose` in the site's folder manages the site."""
    return site.stack.environ | {
        "COMPOSE_PROJECT_NAME": site.stack.project,
        "COMPOSE_FILE": ":".join(site.stack.files),
    }


def order(site, word, hook, *more):
    """Have lego order a certificate, with the project's own hook."""
    hook = [hook, str(site.root / "deploy" / "tls" / "renewed.sh")]
    webroot = site.root / "deploy" / "tls" / "acme"
    site.authority.lego(word, *more, *hook, domain=DOMAIN, webroot=webroot, **settings(site))


def trusting(site):
    """Return a context that trusts the authority."""
    return ssl.create_default_context(cafile=str(site.authority.folder / "root.pem"))


def client(site, **options):
    """Return a client that connects to this machine as the site and trusts the authority."""
    address = f"https://127.0.0.1:{site.port}"
    return httpx.Client(base_url=address, verify=trusting(site), headers={"Host": DOMAIN}, **options)


def get(http, path, **options):
    return http.get(path, extensions={"sni_hostname": DOMAIN}, **options)


def answers(site):
    try:
        with client(site) as http:
            return get(http, "/readyz").status_code == 200
    except httpx.TransportError:
        return False


def answers_over_http(site):
    try:
        return httpx.get(f"{site.plain}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def serial(site):
    """Return the serial number of the certificate that nginx sends."""
    with (
        socket.create_connection(("127.0.0.1", site.port)) as plain,
        trusting(site).wrap_socket(plain, server_hostname=DOMAIN) as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).serial_number


def test_site_without_a_certificate_redirects_http(site):
    page, health = site.without_certificate
    assert (page.status_code, page.headers["Location"]) == (308, f"https://127.0.0.1:{site.port}/about")
    assert health.status_code == 204
    assert "certs/fullchain.pem does not exist: nginx serves HTTP only" in site.without_certificate_log


def test_every_variant_of_the_configuration_is_valid(site):
    variants = product(
        ("NGINX_TLS=on", "NGINX_TLS=off"),
        ("NGINX_UPSTREAM=socket", "NGINX_UPSTREAM=replicas"),
        (
            "TRUSTED_PROXIES=10.0.0.0/8,::1 IDENTITY_HEADERS=X-Forwarded-User,remote-user",
            "TRUSTED_PROXIES=10.0.0.1 PROXY_PROTOCOL=on",
            "",
        ),
        ("ALLOWED_HOSTS=example.org,*.example.com CLIENT_REQUESTS=9", ""),
    )
    script = "".join(
        f"env {' '.join(variant)} /srv/nginx/control.sh configure /run/nginx variant && "
        f"nginx -t -q -p /run/nginx/ -c variant/nginx.conf -e stderr && echo taken\n"
        for variant in variants
    )
    ended = site.stack.compose("run", "--rm", "--no-deps", "--no-TTY", "nginx", "sh", "-c", script)
    assert ended.stdout == "taken\n" * 24, ended.stdout + ended.stderr


def test_only_nginx_can_read_the_key(site):
    key = site.root / "deploy" / "tls" / "certs" / "privkey.pem"
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (101, 0o400)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/about?a=b&c"), ("POST", "/echo"), ("GET", "/static/x.css"), ("GET", "/.env")]
)
def test_http_redirects_to_https_with_method_and_query(method, path, site):
    response = httpx.request(method, site.plain + path, headers={"Host": f"{DOMAIN}:80"})
    assert (response.status_code, response.headers["Location"]) == (308, f"https://{DOMAIN}:{site.port}{path}")
    assert "Strict-Transport-Security" not in response.headers


def test_http_on_the_tls_port_redirects(site):
    response = httpx.get(f"http://127.0.0.1:{site.port}/about", headers={"Host": DOMAIN})
    assert (response.status_code, response.headers["Location"]) == (308, f"https://{DOMAIN}:{site.port}/about")
    assert "Strict-Transport-Security" not in response.headers


def test_request_without_host_gets_400(site):
    with socket.create_connection(("127.0.0.1", int(site.plain.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /about HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n"


def test_redirect_omits_port_443(site):
    def location():
        return httpx.get(f"{site.plain}/about").headers["Location"]

    reload = ("nginx", "/srv/nginx/control.sh", "reload")
    site.stack.compose("exec", "--no-TTY", "--env", "HTTPS_PORT=443", *reload)
    try:
        until(lambda: location() == "https://127.0.0.1/about", "the port is not named")
    finally:
        site.stack.compose("exec", "--no-TTY", *reload)
    until(lambda: location() == f"https://127.0.0.1:{site.port}/about", "the reload is undone")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_check_of_a_load_balancer_is_answered_over_http(path, site):
    assert httpx.get(f"{site.plain}{path}", headers={"Host": "192.0.2.1"}).status_code == 200


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_https_speaks_both_versions_of_http_with_hsts(http2, version, site):
    with client(site, http2=http2) as http:
        for path, status in (("/", 200), ("/nope", 404), ("/robots.txt", 200), ("/.env", 404)):
            response = get(http, path)
            assert (response.http_version, response.status_code) == (version, status)
            assert response.headers.get_list("Strict-Transport-Security") == [YEARS_2]


def test_compressed_headers_fit_the_app(site):
    with client(site, http2=True) as http:
        long = "a" * 12_000
        assert get(http, "/about", headers={"Cookie": long}).status_code == 200
        assert get(http, f"/about?{long}").status_code == 200


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize(("target", "status"), [("/about", 405), ("/nothing", 404), ("/echo", 415)])
def test_response_to_an_unread_body_arrives(target, status, http2, site):
    with client(site, http2=http2) as http:
        for size in (30_000, 300_000, 1_000_000):
            for _ in range(10):
                response = http.post(target, content=bytes(size), extensions={"sni_hostname": DOMAIN})
                assert (response.status_code, size) == (status, size)


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("count", "size"), [(1, 4000), (4, 1000), (1, 8000), (4, 8100)])
def test_response_headers_may_be_as_large_as_request_headers(count, size, method, http2, site):
    with client(site, http2=http2) as http:
        response = http.request(method, f"/cookies/{count}/{size}", extensions={"sni_hostname": DOMAIN})
    assert response.status_code == 200
    assert [len(f"Set-Cookie: {value}\r\n") for value in response.headers.get_list("Set-Cookie")] == [size] * count


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_streamed_page_arrives_in_chunks(encoding, http2, site):
    options = {"headers": {"Accept-Encoding": encoding}, "extensions": {"sni_hostname": DOMAIN}}
    with client(site, http2=http2, timeout=15) as http, http.stream("GET", "/page", **options) as response:
        assert response.headers.get("Content-Encoding", "identity") == encoding
        pieces = response.iter_bytes()
        first = ""
        while "first half" not in first:
            first += next(pieces).decode()
        assert get(http, "/end").json() == "ended"
        assert b"".join(pieces).decode().endswith("<p>second half</p>")


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_request_that_ends_its_worker_is_not_repeated(method, http2, site):
    with client(site, http2=http2) as http:
        options = {"content": b"x" * 500_000, "extensions": {"sni_hostname": DOMAIN}}
        response = http.request(method, "/die", **options)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    line = f"dying of {response.headers['X-Request-ID']}"
    until(lambda: line in site.stack.logs("app"), "the app has logged the request")
    until(lambda: answers(site), "the next worker is ready")
    assert site.stack.logs("app").count(line) == 1


@pytest.mark.parametrize("http2", [True, False])
def test_download_above_the_buffers_is_complete(http2, site):
    with client(site, http2=http2, timeout=30) as http:
        options = {"extensions": {"sni_hostname": DOMAIN}}
        with http.stream("GET", "/download/1200", **options) as response:
            received = 0
            for number, piece in enumerate(response.iter_raw()):
                received += len(piece)
                if number < 20:
                    time.sleep(0.1)
    assert received == 1200 * 65_536


@pytest.mark.parametrize("path", ["/.env", "/static/nope"])
def test_error_of_nginx_follows_accept(path, site):
    with client(site) as http:
        for accept, content_type in (("text/html", "text/html; charset=utf-8"), ("*/*", "application/problem+json")):
            response = get(http, path, headers={"Accept": accept})
            assert (response.is_client_error, response.headers["Content-Type"]) == (True, content_type)
            assert response.headers["X-Request-ID"] in response.text


def test_stopped_app_gets_503(site):
    site.stack.stop_app()
    try:
        with client(site) as http:
            response = get(http, "/about")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    finally:
        site.stack.start_app()
        until(lambda: answers(site), "the site is ready")


def test_app_sees_client_scheme_and_host(site):
    with client(site) as http:
        seen = get(http, "/environ/", headers={"X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.1"}).json()
        gateway = site.stack.inspect("nginx")["NetworkSettings"]["Networks"][f"{site.stack.project}_edge"]["Gateway"]
        assert (seen["wsgi.url_scheme"], seen["REMOTE_ADDR"]) == ("https", gateway)
        assert (seen["HTTP_HOST"], seen["SERVER_NAME"], seen["SERVER_PORT"]) == (DOMAIN, DOMAIN, "443")
        seen = get(http, "/environ/", headers={"Host": f"{DOMAIN}:{site.port}"}).json()
        assert (seen["HTTP_HOST"], seen["SERVER_PORT"]) == (f"{DOMAIN}:{site.port}", str(site.port))


def test_access_log_has_the_protocol(site):
    with client(site, http2=True) as http:
        identifier = get(http, "/about").headers["X-Request-ID"]
    until(lambda: identifier in site.stack.logs("nginx"), "the request is logged")
    [line] = [line for line in site.stack.logs("nginx").splitlines() if identifier in line]
    assert '"protocol":"HTTP/2.0","tls":"TLSv1.3"' in line


def test_post_quantum_group_is_preferred(site):
    # The image's own openssl: this machine's may be older.
    ended = site.stack.execute("nginx", "sh", "-c", "echo | openssl s_client -connect 127.0.0.1:8443 2>/dev/null")
    assert "Negotiated TLS1.3 group: X25519MLKEM768" in ended.stdout
    assert "New, TLSv1.3" in ended.stdout


def test_session_tickets_are_off(site):
    context = trusting(site)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", site.port)) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as connection,
    ):
        assert connection.version() == "TLSv1.2"
        assert not connection.session.has_ticket


def test_sslyze_confirms_the_intermediate_profile(site):
    sslyze = [sys.executable, "-m", "sslyze", "--mozilla_config", "intermediate"]
    chain = ["--certinfo_ca_file", str(site.authority.folder / "root.pem")]
    command = [*sslyze, *chain, f"{DOMAIN}:{site.port}{{127.0.0.1}}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert f"{DOMAIN}:{site.port}: OK - Compliant." in ended.stdout
    assert ended.returncode == 0


class Load:
    """Steady requests during the block, over kept connections and over new ones."""

    def __init__(self, site):
        self.site, self.ended, self.count, self.failures = site, Event(), 0, []

    def __enter__(self):
        self.pool = ThreadPoolExecutor()
        self.threads = [self.pool.submit(ask, kept) for ask in (self.ask, self.ask_http2) for kept in (True, False)]
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.result()
        self.pool.shutdown()

    def ask(self, kept):
        while not self.ended.is_set():
            with client(self.site) as http:
                for _ in range(50 if kept else 1):
                    self.note(lambda: get(http, "/about").status_code)

    def ask_http2(self, kept):
        context = trusting(self.site)
        context.set_alpn_protocols(["h2"])
        while not self.ended.is_set():
            with closing(http2.Connection(self.site.port, DOMAIN, context)) as connection:
                for _ in range(50 if kept else 1):
                    if not connection.is_ending:
                        self.note(lambda: connection.get("/about"))

    def note(self, ask):
        try:
            status = ask()
        except http2.AskAgainError:
            return  # the next connection repeats it
        except (httpx.HTTPError, OSError) as error:
            status = repr(error)
        self.count += 1
        if status != 200:
            self.failures.append(status)


def test_renewed_certificate_loses_no_request(site):
    before = serial(site)
    with Load(site) as load:
        order(site, "renew", "--renew-hook", "--days", "365", "--no-random-sleep")
        until(lambda: serial(site) != before, "nginx sends the new certificate")
        enough = load.count + 200
        until(lambda: load.count > enough, "200 more requests")
    assert load.failures == []


def test_reload_refuses_bad_configuration_and_loses_no_request(site):
    path = site.root / "nginx" / "headers.conf"
    text = path.read_text()

    def reload():
        command = ["make", "--no-print-directory", "reload"]
        return subprocess.run(
            command, cwd=site.root, env=settings(site), capture_output=True, text=True, check=False, timeout=60
        )

    def policy():
        with client(site) as http:
            return get(http, "/about").headers["Referrer-Policy"]

    with Load(site) as load:
        path.write_text(text.replace('"same-origin";\n}\n# No browser', '"no-referrer";\n}\n# No browser'))
        assert reload().returncode == 0
        until(lambda: policy() == "no-referrer", "the change is served")
        path.write_text("nonsense;\n" + text)
        ended = reload()
        assert ended.returncode != 0
        assert 'unknown directive "nonsense"' in ended.stderr
        assert "nginx: the reload was refused. The running configuration is unchanged" in ended.stderr
        assert policy() == "no-referrer"
        path.write_text(text)
        assert reload().returncode == 0
        until(lambda: policy() == "same-origin", "the reload is undone")
    assert load.failures == []
    assert load.count > 50


def test_bad_certificate_is_refused_and_leaves_http(site):
    certs = site.root / "deploy" / "tls" / "certs"
    chain, key = (certs / "fullchain.pem").read_bytes(), (certs / "privkey.pem").read_bytes()
    reload = ("nginx", "/srv/nginx/control.sh", "reload")
    bad = {"privkey.pem": [b"", key[:100]], "fullchain.pem": [b"", chain[:300], None]}
    with Load(site) as load:
        for name, contents in bad.items():
            for content in contents:
                if content is None:
                    (certs / name).unlink()
                else:
                    (certs / name).write_bytes(content)
                ended = site.stack.execute(*reload)
                assert ended.returncode == 1
                assert "nginx: the reload was refused. The running configuration is unchanged" in ended.stderr
            (certs / name).write_bytes(chain if name == "fullchain.pem" else key)
    assert load.failures == []
    try:
        (certs / "privkey.pem").write_bytes(b"")
        site.stack.compose("restart", "nginx")
        until(lambda: answers_over_http(site), "HTTP is answered")
        challenges = site.root / "deploy" / "tls" / "acme" / ".well-known" / "acme-challenge"
        challenges.mkdir(parents=True, exist_ok=True)
        (challenges / "a").write_text("token")
        assert httpx.get(f"{site.plain}/.well-known/acme-challenge/a").text == "token"
        assert site.stack.execute(*reload).returncode == 1
        assert "nginx serves HTTP only" in site.stack.logs("nginx")
    finally:
        (certs / "privkey.pem").write_bytes(key)
    assert site.stack.execute(*reload).returncode == 0
    until(lambda: answers(site), "HTTPS is answered")
