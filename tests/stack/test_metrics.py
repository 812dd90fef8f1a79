"""The metrics of a site: exact through crashes, reloads and deploys, and inside only."""

import os
import threading
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.site import Site
from tests.stack.waiting import until

FETCH = "import sys, urllib.request as r; print(r.urlopen(f'http://127.0.0.1:{sys.argv[1]}/metrics').read().decode())"
HEALTH_CHECK = {("/readyz", "GET", "200"), ("", "GET", "200")}  # the probe's own /readyz is not in its table of routes


def scrape(stack):
    """Return the value of each sample of the stack by its name and labels."""
    port = stack.environ["METRICS_PORT"]
    if stack.kind == "docker":
        text = stack.execute("app", "python", "-c", FETCH, port).stdout
    else:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return parse(text)


def parse(text):
    families = [*text_string_to_metric_families(text)]
    assert families
    return {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}


def requests(found):
    """Return the number of requests by route, method and status, without those of the health check."""
    labels = {key: dict(key[1:]) for key in found if key[0] == "http_requests_total"}
    counts = {(each["route"], each["method"], each["status"]): found[key] for key, each in labels.items()}
    return {key: value for key, value in counts.items() if key not in HEALTH_CHECK}


def more(before, after):
    """Return the difference of two dicts of numbers."""
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


@contextmanager
def scraped_meanwhile(stack):
    """Scrape all the time; fail if a scrape fails, or a counter decreases."""
    ended, failures, last = threading.Event(), [], [scrape(stack)]

    def run():
        while not ended.wait(0.2):
            try:
                found = scrape(stack)
            except Exception as error:  # noqa: BLE001
                failures.append(repr(error))
                continue
            counters = [key for key in found if key[0].endswith(("_total", "_count", "_bucket"))]
            failures.extend((key, last[0][key], found[key]) for key in counters if found[key] < last[0].get(key, 0))
            last[0] = found

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert failures == []


def kill(stack, worker):
    if stack.kind == "docker":
        stack.execute("app", "sh", "-c", f"kill -9 {worker}")
    else:
        os.kill(worker, 9)


def test_counts_are_exact_through_crashes_and_reloads(probe):
    before = scrape(probe)
    with scraped_meanwhile(probe), httpx.Client(base_url=probe.url, timeout=30) as client:
        for step in ("first", "crash", "kill", "reload"):
            earlier = probe.workers()
            if step == "crash":
                assert client.get("/die").status_code >= 500  # its response is cut, so the app never completes it
            elif step == "kill":
                kill(probe, next(iter(earlier)))
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


def test_metrics_are_not_outside(probe):
    for path in ("/metrics", "/metrics?", "//metrics", "/metrics/", "/METRICS", "/static/../metrics", "/%6detrics"):
        answer = httpx.get(probe.url + path)
        assert answer.status_code in (400, 404)
        assert "http_requests" not in answer.text


@pytest.mark.nightly
def test_counts_of_a_release_are_complete_when_it_is_gone(tmp_path):
    require("docker", "gunicorn")
    site = Site("gunicorn", "-metrics", tmp_path)
    site.change(".env", "METRICS_PORT=9464\n")
    found, ended = {}, threading.Event()

    def scrape_all():
        while not ended.wait(1):
            for container in site.containers("app", one_off=False):
                try:
                    text = docker("exec", container, "python", "-c", FETCH, "9464")
                except AssertionError:  # it starts, or is gone
                    continue
                found[container] = requests(parse(text))

    thread = threading.Thread(target=scrape_all)
    try:
        site.make()
        thread.start()
        until(lambda: found, "the first scrape")
        site.change("app/wsgi.py", "\n# changed\n")
        with site.begin() as deploy:
            sent = 0
            while deploy.poll() is None:
                assert httpx.get(f"{site.url}/hello/a").status_code == 200
                sent += 1
            deploy.communicate()
        until(
            lambda: sum(each.get(("/hello/{name}", "GET", "200"), 0) for each in found.values()) >= sent,
            "all are counted",
        )
    finally:
        ended.set()
        if thread.ident:
            thread.join()
        site.down()
    assert sum(each.get(("/hello/{name}", "GET", "200"), 0) for each in found.values()) == sent
    assert len(found) == 2
