"""The load generators: wrk for saturation, and an open-model client for a fixed rate."""

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from math import inf

import gevent
from gevent.pool import Pool
from geventhttpclient import HTTPClient

from loadtest.compare.stack import StackError, run
from loadtest.generator import Monitor, figures
from loadtest.objectives import Route

CONNECTIONS = 32  # at saturation
MOST = 512  # concurrent requests at a fixed rate
TIMEOUT = 30  # seconds for a response


@dataclass(frozen=True)
class Saturation:
    """The result of a load that never leaves the server idle."""

    requests: int
    failures: int
    seconds: float


@dataclass(frozen=True)
class AtRate:
    """The responses to requests sent at a fixed rate; milliseconds from the time at which each was due."""

    responses: Route
    cpu_percent: float  # of the generator
    late_p95_ms: float  # of the generator


def saturate(url: str, path: str, seconds: int) -> Saturation:
    """Send requests with wrk over CONNECTIONS connections, each as soon as the response to the one before arrives."""
    # --timeout is longer than nginx's own of 30 s, after which nginx answers 504.
    options = ["--threads", "2", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "35s"]
    return read_wrk(run(["wrk", *options, url + path]))


def read_wrk(text: str) -> Saturation:
    """Return the figures in wrk's output; raise StackError if there are none."""
    failed = [
        *re.findall(r"Non-2xx or 3xx responses: (\d+)", text),
        *re.findall(r"(?:connect|read|write|timeout) (\d+)", text),
    ]
    found = re.search(r"(\d+) requests in .*^Requests/sec: +([\d.]+)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise StackError(f"wrk printed no figures:\n{text}")
    # The seconds from the rate: wrk rounds the time, 51 s to 0.85m.
    requests, rate = int(found[1]), float(found[2])
    return Saturation(requests, sum(map(int, failed)), requests / rate if rate else 0)


def at_rate(url: str, path: str, rate: float, seconds: int, slow: tuple[str, int] = ("", 0)) -> AtRate:
    """Send requests at the rate, beside a number of slow requests, and do not wait for earlier responses.

    Each latency counts from the time at which the request was due. A generator that waits for a response before it
    sends the next request misses the waiting time of the requests that it did not send (coordinated omission).
    """
    responses, monitor, pool, client = Route(), Monitor(), Pool(MOST), new_client(url, MOST)
    slow_path, count = slow
    beside = [gevent.spawn(repeat, new_client(url, count), slow_path) for _ in range(count)]
    began = time.perf_counter() + 0.05
    for number in range(int(rate * seconds)):
        due = began + number / rate
        gevent.sleep(max(0, due - time.perf_counter()))
        pool.spawn(request, client, path, due, responses)
    pool.join(TIMEOUT)
    pool.kill()
    gevent.killall(beside)
    monitor.stop()
    client.close()
    own = figures({"": monitor.effort})
    return AtRate(responses, own["cpu_percent"], own["late_p95_ms"])


def new_client(url: str, connections: int) -> HTTPClient:
    """Return a client with this many connections."""
    return HTTPClient.from_url(url, concurrency=max(1, connections), network_timeout=TIMEOUT, connection_timeout=5)


def request(client: HTTPClient, path: str, due: float, responses: Route) -> None:
    """Send a request, and record the milliseconds from `due` to the complete response; infinite if it failed."""
    responses.requests += 1
    late = inf
    try:
        response = client.get(path)
        response.read()
        if response.status_code == HTTPStatus.OK:
            late = round((time.perf_counter() - due) * 1000, 2)
    except (OSError, HTTPException):
        pass
    finally:  # also if pool.kill() ends it
        responses.failures += late == inf
        responses.times[late] += 1


def repeat(client: HTTPClient, path: str) -> None:
    """Send one request after the other."""
    while True:
        with suppress(OSError, HTTPException):
            client.get(path).read()
