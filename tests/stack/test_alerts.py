"""Each alert of deploy/monitoring fires and clears, through Alertmanager, and its dashboard shows a site under load."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest

from deploy.server.launch import BACKENDS
from deploy.tls import certs
from tests.stack.conftest import require
from tests.stack.monitored import Monitored
from tests.stack.waiting import until
from tests.tree import ROOT

pytestmark = pytest.mark.nightly

FULL = "head -c 15m /dev/zero >/var/lib/data/full"
HEAD = "| Alert | The drill | Fires after (s) | Clears after (s) |\n| --- | --- | --- | --- |"


@pytest.fixture(
    scope="module",
    params=[pytest.param(backend, marks=pytest.mark.xdist_group(f"monitored-{backend}")) for backend in BACKENDS],
)
def site(request, tmp_path_factory):
    """Return the running site, under a load of good requests."""
    require("docker", request.param)
    site = Monitored(request.param, tmp_path_factory.mktemp("monitored"))
    with site.running(), requests(site, 2, "/answer/200", pause=0.2):
        yield site


@contextmanager
def requests(site: Monitored, clients: int, path: str, pause: float = 0) -> Iterator[None]:
    """Send requests all the time, each client one after the other; what becomes of them does not matter."""
    ended = threading.Event()

    def run():
        with httpx.Client(base_url=site.url, verify=False, timeout=20) as client:  # noqa: S501
            while not ended.wait(pause):
                try:
                    client.get(path)
                except httpx.TransportError:
                    ended.wait(0.2)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@contextmanager
def stopped(site: Monitored, service: str) -> Iterator[None]:
    site.compose("stop", "--timeout", "2", service)
    try:
        yield
    finally:
        site.compose("start", service)


@contextmanager
def full_disk(site: Monitored) -> Iterator[None]:
    assert site.execute("app", "sh", "-c", FULL).returncode == 0
    yield
    site.execute("app", "sh", "-c", "rm /var/lib/data/full")


@contextmanager
def short_certificate(site: Monitored) -> Iterator[None]:
    site.certify(5)
    site.reload_nginx()
    yield
    site.certify(certs.DAYS)
    site.reload_nginx()


@contextmanager
def few_connections(site: Monitored) -> Iterator[None]:
    path = site.root / "nginx" / "nginx.conf"
    text = path.read_text()
    assert "worker_connections 4096;" in text
    path.write_text(text.replace("worker_connections 4096;", "worker_connections 20;"))
    site.reload_nginx()
    with requests(site, 60, "/think/2"):
        yield
    path.write_text(text)
    site.reload_nginx()


@contextmanager
def repeated(site: Monitored, number: int, end: Callable[[Monitored], set[int]]) -> Iterator[None]:
    """End workers so many times, each time when the next ones run."""
    for _ in range(number):
        await_scrape(site, end(site))
    yield


def await_scrape(site: Monitored, ended: set[int]) -> None:
    """Wait until two other workers run, and have been scraped."""
    until(lambda: len(now := site.workers()) == 2 and not ended & now, "the next workers are ready", 60)
    time.sleep(2)


def one_worker(site: Monitored) -> set[int]:
    worker = min(site.workers())
    site.execute("app", "sh", "-c", f"kill -9 {worker}")
    return {worker}


def both_workers(site: Monitored) -> set[int]:
    workers = site.workers()
    site.reload_app()
    return workers


def server(site: Monitored) -> set[int]:
    site.kill_app()
    return set()  # the next workers can have the same process ids


# What happens while the block of the drill lasts.
DRILLS: dict[str, tuple[str, Callable[[Monitored], AbstractContextManager[None]]]] = {
    "RequestsFail": ("one request in four fails", lambda site: requests(site, 1, "/raise/ValueError", 0.2)),
    "RequestsAreSlow": ("two in three requests take 0.3 s", lambda site: requests(site, 6, "/think/0.3")),
    "ThreadsAreBusy": ("12 clients, 8 threads", lambda site: requests(site, 12, "/think/1")),
    "RequestsWait": ("60 clients, 8 threads", lambda site: requests(site, 60, "/think/1")),
    "ConnectionsAreDropped": ("60 clients, 20 connections for each of nginx's workers", few_connections),
    "WorkersAreKilled": ("kill -9 of five workers", lambda site: repeated(site, 5, one_worker)),
    "WorkersRestart": ("five reloads of two workers", lambda site: repeated(site, 5, both_workers)),
    "AppRestarts": ("kill -9 of the server, four times", lambda site: repeated(site, 4, server)),
    "SiteIsDown": ("stop nginx", lambda site: stopped(site, "nginx")),
    "CertificateExpires": ("a certificate for five days", short_certificate),
    "DiskIsFull": ("fill 15 of 16 MB", full_disk),
    "ScrapeFails": ("stop the app", lambda site: stopped(site, "app")),
}


def test_each_alert_fires_and_clears(site, capsys):
    rows = []
    try:
        for alert, (what, drill) in DRILLS.items():
            until(lambda alert=alert: not site.last(alert)[1], f"{alert} does not fire yet", 120)
            began = time.monotonic()
            with drill(site):
                until(lambda alert=alert: site.last(alert)[1], f"{alert} fires", 120)
                fired = site.last(alert)[0] - began
            ended = time.monotonic()
            until(lambda alert=alert: not site.last(alert)[1], f"{alert} clears", 120)
            rows.append(f"| `{alert}` | {what} | {fired:.0f} | {max(0, site.last(alert)[0] - ended):.0f} |")
    finally:
        with capsys.disabled():
            sys.stdout.write("\n".join(["", site.backend, HEAD, *rows, ""]))


def test_figures_of_nginx_return_after_a_crash(site):
    started = time.time()
    site.kill("nginx")
    until(lambda: site.query(f"nginx_up == 1 and timestamp(nginx_up) > {started + 3}") != [], "nginx is scraped")
    assert site.execute("nginx", "/srv/nginx/control.sh", "health").returncode == 0


def test_every_query_of_the_dashboard_has_a_result(site):
    dashboard = json.loads((ROOT / "deploy" / "monitoring" / "grafana" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["expr"] for each in dashboard["annotations"]["list"]]
    with DRILLS["RequestsFail"][1](site):
        until(lambda: site.query('ALERTS{alertstate="firing"}') != [], "an alert fires", 120)
    now = time.time()
    span = {"start": f"{now - 600:.0f}", "end": f"{now:.0f}", "step": "1s"}
    for query in queries:
        series = site.query(query.replace("$__rate_interval", "10s"), **span)
        numbers = [value for each in series for _, value in each["values"] if value != "NaN"]
        assert numbers, f"no result: {query}"
