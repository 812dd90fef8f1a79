"""Reads the metrics of a stack."""

import os
import threading
from contextlib import contextmanager

import httpx
from prometheus_client.parser import text_string_to_metric_families

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


def counters(found):
    """Return the samples that must not decrease."""
    return [key for key in found if key[0].endswith(("_total", "_count", "_bucket"))]


def kill(stack, worker):
    """Kill a worker, and return whether it still ran."""
    if stack.kind == "docker":
        return stack.execute("app", "sh", "-c", f"kill -9 {worker}").returncode == 0
    os.kill(worker, 9)
    return True


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
            failures.extend(key for key in counters(found) if found[key] < last[0].get(key, 0))
            last[0] = found

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert failures == []
