"""The metrics of a site: exact through crashes, reloads and deploys, and inside only."""

import socket
from contextlib import suppress

import httpx
import pytest

from tests.stack.compose import PYTHON_IMAGE
from tests.stack.edge import edge
from tests.stack.scraping import kill, more, requests, scrape, scraped_meanwhile
from tests.stack.test_conformance import exchange
from tests.stack.waiting import until


def test_counts_are_exact_through_crashes_and_reloads(probe):
    before = scrape(probe)
    with scraped_meanwhile(probe), httpx.Client(base_url=probe.url, timeout=30) as client:
        for step in ("first", "crash", "kill", "reload"):
            earlier = probe.workers()
            if step == "crash":
                assert client.get("/die").status_code >= 500  # its response is cut, so the app never completes it
            elif step == "kill":
                kill(probe, next(iter(earlier)))
                named = {"gunicorn": "SIGKILL", "uwsgi": "killed by signal 9"}[probe.backend]
                until(lambda named=named: named in probe.logs("app"), "the log names the signal")
            elif step == "reload":
                probe.reload_app()
            if step != "first":
                until(lambda earlier=earlier: not earlier & probe.workers() and probe.is_up(), f"next worker: {step}")
            for number in range(10):
                assert client.get("/answer/200").status_code == 200
                assert client.get(f"/nowhere/{step}/{number}").status_code == 404
                assert client.get(f"/raise/ValueError?{number}").status_code == 500
            assert client.get("/download/3").status_code == 200
    after = scrape(probe)
    assert more(requests(before), requests(after)) == {
        ("/answer/{status}", "GET", "200"): 40,
        ("", "GET", "404"): 40,
        ("/raise/{exception}", "GET", "500"): 40,
        ("/download/{blocks}", "GET", "200"): 4,
    }
    assert after["http_exceptions_total",] - before["http_exceptions_total",] == 40
    exits = {
        cause: after[key] - before[key]
        for cause in ("ended", "killed")
        for key in [("wsgi_worker_exits_total", ("cause", cause))]
    }
    assert exits == {"ended": 1, "killed": 2}
    assert (after["wsgi_workers",], after["http_streams_open",]) == (1, 0)


def test_requests_in_progress_and_streams_are_shown(probe):
    with httpx.stream("GET", f"{probe.url}/page") as page:
        parts = page.iter_raw()
        next(parts)
        found = scrape(probe)
        httpx.get(f"{probe.url}/end")
        assert list(parts)
    assert (found["http_streams_open",], found["wsgi_threads_busy",] >= 1) == (1, True)
    until(lambda: scrape(probe)["http_streams_open",] == 0, "the stream is closed")
    [build] = [dict(key[1:]) for key in found if key[0] == "wsgi_build_info"]
    assert (build["release"], build["backend"]) == ("dev", probe.backend)


@pytest.mark.kind("processes")  # a container has an empty folder anyway
def test_next_server_begins_at_zero(probe):
    assert httpx.get(f"{probe.url}/answer/200").status_code == 200
    assert requests(scrape(probe))
    probe.restart_app()
    until(probe.is_up, "the next server")
    assert requests(scrape(probe)) == {}


SPELLINGS = [
    *(
        "/metrics",
        "/metrics?",
        "/metrics?a=/",
        "//metrics",
        "/metrics/",
        "/metrics/a",
        "/metrics//",
        "/%6detrics",
        "/%6Detrics",
    ),
    *("/metrics%2f", "/%2fmetrics", "/a/../metrics", "/./metrics", "/static/../metrics", "/static/%2e%2e/metrics"),
    *("/METRICS", "/metrics;a", "/metrics%20", "/metrics%00", "/static/metrics", "http://localhost/metrics"),
]


@pytest.mark.parametrize("transport", ["HTTP", "HTTPS", "HTTP/2", "redirect"])
def test_metrics_are_not_outside(transport, probe):
    if transport == "HTTP":
        check_spellings(lambda sent: ask(probe.url, sent), (400, 404))
        return
    with edge(probe, NGINX_TLS="on") as secure:
        if transport == "redirect":
            # The server that redirects does not redirect to /metrics itself.
            check_spellings(lambda sent: ask(secure.url, sent), (308, 400, 404))
        else:
            check_spellings(lambda sent: secure.ask(sent, transport), (400, 404))


def check_spellings(ask, statuses):
    """Request each spelling of the path, and compare the status; the probe answers /metrics and all below with 200."""
    for path in SPELLINGS:
        answer = ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status = int(answer.split()[1])
        assert status in statuses, path
        assert status == 404 or path not in ("/metrics", "//metrics", "/metrics/", "/metrics/a", "/%6detrics"), path
        assert b"http_requests" not in answer
        assert b"PATH_INFO" not in answer


def ask(url, sent):
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
        return exchange(connection, sent)


@pytest.mark.kind("docker")
def test_metrics_port_is_reachable_on_the_private_network_only(probe):
    app = probe.inspect("app")
    addresses = [each["IPAddress"] for each in app["NetworkSettings"]["Networks"].values()]
    urls = [f"http://{each}:9464/metrics" for each in addresses]

    def is_reached(network, url):
        code = f"import urllib.request as r; print(r.urlopen('{url}', timeout=2).read().decode())"
        line = ["run", "--rm", f"--network={probe.project}_{network}", PYTHON_IMAGE, "python3", "-c", code]
        return "wsgi_workers" in probe.docker(*line).stdout

    networks = ("private", "edge", "loadtest")
    assert {name for name in networks if any(is_reached(name, url) for url in urls)} == {"private"}
    for url in urls:
        with suppress(httpx.TransportError):  # something else can have the address outside
            assert "wsgi_workers" not in httpx.get(url, timeout=2).text
    assert not app["HostConfig"]["PortBindings"]
    assert [*probe.inspect("nginx")["HostConfig"]["PortBindings"]] == ["8080/tcp"]
