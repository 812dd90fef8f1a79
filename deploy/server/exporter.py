"""Serves /metrics in the format of Prometheus: a process beside the server, if METRICS_PORT is set.

    python -m deploy.server.exporter SERVER     the server's process id, or a file that has it

It reads the workers' files (metrics.py) and notes (progress.py). So a busy server delays no scrape, and a killed worker
fails none. After SIGTERM it waits for one more scrape, so that the last requests of a release are counted.
"""

import os
import platform
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import FrameType

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.settings import settings
from deploy.server import health, live, metrics
from deploy.server.listen_queue import waiting
from deploy.server.progress import IDLE

LAST_SECONDS = 15.0  # at most until the last scrape
RECENT_SECONDS = 60.0  # Prometheus scrapes this server if it has done so within this time
SENT_SECONDS = 0.5  # for the response of the last scrape
RANGES = (*map(str, metrics.SECONDS), "+Inf")


class Site(Collector):
    """The figures of one server at the time of a scrape."""

    def __init__(self, server: str, environ: Mapping[str, str]) -> None:
        self.server = server
        self.folder = Path(environ[metrics.FOLDER])
        self.address = live.own_address(environ)
        self.killed = 0
        self.scraped = Event()
        self.latest = 0.0

    def collect(self) -> Iterable[Metric]:
        """Return all figures."""
        workers = {each: health.notes(each) for each in health.workers(self.process())}
        heads: list[list[int]] = []
        counts: dict[metrics.Series, list[int]] = defaultdict(lambda: [0] * (metrics.CELLS - 1))
        for data in self.files():
            if len(data) == metrics.SIZE:  # less: a worker was killed when it had created the file
                heads.append(memoryview(data).cast("Q")[: metrics.KILLED + 1].tolist())
                for series, _, numbers in metrics.records(data):
                    if any(numbers):
                        counts[series] = [sum(pair) for pair in zip(counts[series], numbers, strict=True)]
        self.latest = time.monotonic()
        self.scraped.set()
        notes = [note for each in workers.values() for note in each]
        running = [head for head in heads if head[metrics.STATE] == metrics.RUNNING]
        alive = [head for head in running if Path(f"/proc/{head[metrics.PROCESS]}").exists()]
        # A killed worker is counted by the one that takes its file: never less than before meanwhile.
        self.killed = max(self.killed, total(heads, metrics.KILLED) + len(running) - len(alive))
        exits = CounterMetricFamily("wsgi_worker_exits", "Workers that ended.", labels=["cause"])
        exits.add_metric(["ended"], total(heads, metrics.ENDED))
        exits.add_metric(["killed"], self.killed)
        build = GaugeMetricFamily("wsgi_build_info", "The release.", labels=["release", "backend", "python"])
        build.add_metric([settings().release, settings().backend, platform.python_version()], 1)
        failures = total(heads, metrics.EXCEPTIONS)
        return [
            *requests(counts),
            *self.surroundings(),
            CounterMetricFamily("http_exceptions", "Exceptions that handlers raised.", failures),
            GaugeMetricFamily("http_streams_open", "Responses being sent part by part.", total(alive, metrics.STREAMS)),
            GaugeMetricFamily("wsgi_workers", "Workers.", len(workers)),
            GaugeMetricFamily("wsgi_threads", "Threads of all workers.", len(notes)),
            GaugeMetricFamily("wsgi_threads_busy", "Threads with a request.", sum(note != IDLE for note in notes)),
            GaugeMetricFamily("wsgi_listen_queue", "Connections that wait for a thread.", waiting(self.address)),
            exits,
            build,
        ]

    def surroundings(self) -> Iterable[Metric]:
        """Return when the server started, and the room on the disk of DATA_DIR; nothing that does not exist yet."""
        with suppress(FileNotFoundError):
            seconds = (self.folder / "started").stat().st_mtime
            yield GaugeMetricFamily("wsgi_start_time_seconds", "When the server started, since 1970.", seconds)
        with suppress(FileNotFoundError):
            disk = shutil.disk_usage(settings().data_dir)
            yield GaugeMetricFamily("wsgi_disk_bytes", "The size of the disk with DATA_DIR.", disk.total)
            yield GaugeMetricFamily("wsgi_disk_free_bytes", "The bytes that the app can still write there.", disk.free)

    def files(self) -> list[bytes]:
        """Return the contents of all files, or nothing while the server starts and empties the folder."""
        with suppress(FileNotFoundError):
            return [path.read_bytes() for path in self.folder.iterdir()]
        return []

    def process(self) -> int:
        """Return the process of the server, or 0 while it restarts."""
        with suppress(OSError, ValueError):
            return int(self.server if self.server.isdecimal() else Path(self.server).read_text())
        return 0

    def wait_for_last_scrape(self) -> None:
        """Return after one more scrape, or at once if nothing scrapes this server."""
        self.scraped.clear()
        if self.latest and time.monotonic() - self.latest < RECENT_SECONDS and self.scraped.wait(LAST_SECONDS):
            time.sleep(SENT_SECONDS)


def requests(counts: Mapping[metrics.Series, list[int]]) -> list[Metric]:
    """Return the requests by route, method and status, and their times by route and method."""
    number = CounterMetricFamily("http_requests", "Requests that ended.", labels=["route", "method", "status"])
    times: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (metrics.CELLS - 1))
    for (route, method, status), numbers in counts.items():
        pattern = route.encode("latin-1", "replace").decode(errors="replace")  # PEP 3333: a character is a byte
        number.add_metric([pattern, method, status], sum(numbers[1:]))
        times[pattern, method] = [sum(pair) for pair in zip(times[pattern, method], numbers, strict=True)]
    seconds = HistogramMetricFamily("http_request_duration_seconds", "Time in the app.", labels=["route", "method"])
    for labels, (spent, *ranges) in times.items():
        so_far = [sum(ranges[: last + 1]) for last in range(len(ranges))]
        seconds.add_metric([*labels], [*zip(RANGES, so_far, strict=True)], spent / 1e9)
    return [number, seconds]


def total(heads: list[list[int]], cell: int) -> int:
    """Return the sum of one cell of all heads."""
    return sum(head[cell] for head in heads)


def main() -> None:
    """Serve until SIGTERM, and then until the last scrape."""
    stopped = Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the server too
    site = Site(sys.argv[1], os.environ)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(site)
    site.latest = 0.0  # the registry may have collected
    port, bind = settings().metrics_port, os.environ.get("METRICS_BIND", "0.0.0.0")  # noqa: S104
    try:
        start_http_server(port, bind, registry)
    except OSError as error:
        sys.exit(f"exporter: METRICS_PORT is {port}: {error.strerror}: choose another port")
    stopped.wait()
    site.wait_for_last_scrape()


if __name__ == "__main__":
    main()
