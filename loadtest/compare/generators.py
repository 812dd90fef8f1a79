"""Where requests come from: as fast as they are answered (wrk, oha), or at a fixed rate, whatever the server does."""

import json
import re
import shutil
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
MOST = 512  # requests that may be under way at once at a fixed rate
PATIENCE = 30  # seconds that an answer may take


@dataclass(frozen=True)
class Saturation:
    """What a server does when it is never left idle."""

    requests: int
    failures: int
    seconds: float


@dataclass(frozen=True)
class AtRate:
    """The answers to requests sent at a fixed rate; milliseconds from when each was to be sent."""

    answers: Route
    cpu_percent: float  # the generator's
    late_p95_ms: float


def tool() -> str:
    """Return which program measures saturation here; our own client where there is none."""
    return next((name for name in ("wrk", "oha") if shutil.which(name)), "our own client")


def saturate(url: str, path: str, seconds: int) -> Saturation:
    """Keep the server busy with CONNECTIONS connections for so many seconds."""
    connections, length = str(CONNECTIONS), f"{seconds}s"
    name = tool()
    if name == "wrk":
        # A connection that waits longer than --timeout counts as failed; nginx itself answers 504 after 30 s.
        line = ["wrk", "--threads", "2", "--connections", connections, "--duration", length, "--timeout", "35s"]
        return read_wrk(run([*line, url + path]))
    if name == "oha":
        found = json.loads(
            run(["oha", "--no-tui", "--output-format", "json", "-z", length, "-c", connections, url + path])
        )
        codes, errors = found["statusCodeDistribution"], found["errorDistribution"]
        # What was under way at the end is no failure.
        failed = sum(count for error, count in errors.items() if "deadline" not in error)
        good = sum(count for code, count in codes.items() if code.startswith("2"))
        return Saturation(sum(codes.values()), sum(codes.values()) - good + failed, found["summary"]["total"])
    return saturate_ourselves(url, path, seconds)


def read_wrk(text: str) -> Saturation:
    """Return what wrk says; raise StackError where it says something else."""
    failed = [
        *re.findall(r"Non-2xx or 3xx responses: (\d+)", text),
        *re.findall(r"(?:connect|read|write|timeout) (\d+)", text),
    ]
    found = re.search(r"(\d+) requests in .*^Requests/sec: +([\d.]+)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise StackError(f"wrk does not say what it did:\n{text}")
    # By its rate, as it rounds the time: 51 s are 0.85m.
    requests, rate = int(found[1]), float(found[2])
    return Saturation(requests, sum(map(int, failed)), requests / rate if rate else 0)


def saturate_ourselves(url: str, path: str, seconds: int) -> Saturation:
    """Do as wrk does, with less: one process of Python is at its end before most servers are."""
    answers = Route()
    client = new_client(url, CONNECTIONS)
    began = time.perf_counter()

    def ask() -> None:
        while (now := time.perf_counter()) < began + seconds:
            request(client, path, now, answers)

    gevent.joinall([gevent.spawn(ask) for _ in range(CONNECTIONS)])
    return Saturation(answers.requests, answers.failures, time.perf_counter() - began)


def at_rate(url: str, path: str, rate: float, seconds: int, slow: tuple[str, int] = ("", 0)) -> AtRate:
    """Send at the rate, whether or not the answers to earlier requests have come; so many slow ones run beside.

    Each latency counts from when the request was to be sent. A generator that waits for an answer before it sends the
    next request never sees what those would have waited that it did not send: coordinated omission.
    """
    answers, monitor, pool, client = Route(), Monitor(), Pool(MOST), new_client(url, MOST)
    monitor.start()
    slow_path, count = slow
    beside = [gevent.spawn(repeat, new_client(url, count), slow_path) for _ in range(count)]
    began = time.perf_counter() + 0.05
    for number in range(int(rate * seconds)):
        due = began + number / rate
        gevent.sleep(max(0, due - time.perf_counter()))
        pool.spawn(request, client, path, due, answers)
    pool.join(PATIENCE)
    pool.kill()
    gevent.killall(beside)
    monitor.stop()
    client.close()
    own = figures({"": monitor.effort})
    return AtRate(answers, own["cpu_percent"], own["late_p95_ms"])


def new_client(url: str, connections: int) -> HTTPClient:
    """Return a client that keeps so many connections."""
    return HTTPClient.from_url(url, concurrency=max(1, connections), network_timeout=PATIENCE, connection_timeout=5)


def request(client: HTTPClient, path: str, due: float, answers: Route) -> None:
    """Ask once, and note how many milliseconds after `due` the whole answer was here: never, where it failed."""
    answers.requests += 1
    late = inf
    try:
        response = client.get(path)
        response.read()
        if response.status_code == HTTPStatus.OK:
            late = round((time.perf_counter() - due) * 1000, 2)
    except (OSError, HTTPException):
        pass
    finally:  # also where nobody waits for it any more
        answers.failures += late == inf
        answers.times[late] = answers.times.get(late, 0) + 1


def repeat(client: HTTPClient, path: str) -> None:
    """Ask again and again."""
    while True:
        with suppress(OSError, HTTPException):
            client.get(path).read()
