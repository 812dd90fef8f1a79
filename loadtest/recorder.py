"""What is recorded while a run goes on: its statistics, second by second, and the workers that were lost."""

import sys
import time
from argparse import Namespace
from collections import deque
from datetime import UTC, datetime

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner
from locust.stats import StatsEntry

from loadtest.objectives import Recorded, Route

WINDOW = 3  # seconds of each point of the history: locust's workers report every three seconds


def bucket(milliseconds: float) -> float:
    """Round to three digits: locust's own two are too few to tell a small difference from none."""
    return float(f"{milliseconds:.3g}")


class Recorder:
    """Records from `start` to `stop`, and shows progress on the terminal."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.history: list[dict[str, float]] = []
        self.workers: set[str] = set()
        self.lost: dict[str, float] = {}  # workers, and the second at which each was missed
        self.seconds = 0.0
        self.peak = 0  # users
        self.task: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin, anew where it has begun before."""
        self.__init__(self.environment)  # type: ignore[misc]
        self.began, self.started = time.perf_counter(), datetime.now(UTC)
        self.miss_workers()
        self.task = gevent.spawn(self.watch)

    def stop(self) -> None:
        """End; what was recorded stays."""
        if self.task:
            self.seconds = time.perf_counter() - self.began
            self.task.kill()
            self.task = None
            if sys.stdout.isatty():
                print()

    def recorded(self) -> Recorded:
        """Return the statistics so far."""
        entries = self.environment.stats.entries.values()
        seconds = self.seconds or time.perf_counter() - self.began
        return Recorded(seconds, {f"{each.method} {each.name}": route(each) for each in entries})

    def watch(self) -> None:
        """Look once a second."""
        past = deque([Recorded(0, {})], maxlen=WINDOW + 1)
        while True:
            gevent.sleep(1)
            now = Recorded(time.perf_counter() - self.began, {"": route(self.environment.stats.total)})
            if self.environment.runner and self.environment.runner.state in (STATE_SPAWNING, STATE_RUNNING):
                self.miss_workers()  # not while it stops: then they leave, as they are told
            self.history.append(self.point(now.since(past[0])) | {"second": round(now.seconds, 1)})
            past.append(now)
            self.show()

    def point(self, window: Recorded) -> dict[str, float]:
        """Return one point of the history."""
        runner, route = self.environment.runner, window.routes[""]
        self.peak = max(self.peak, runner.user_count if runner else 0)
        return {
            "users": runner.user_count if runner else 0,
            "requests_per_second": round(route.requests / window.seconds, 1),
            "failures_per_second": round(route.failures / window.seconds, 1),
            "p50_ms": route.percentile(0.50) or 0,
            "p95_ms": route.percentile(0.95) or 0,
        }

    def miss_workers(self, **_: object) -> None:
        """Note the workers that were here and are not."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            second = time.perf_counter() - self.began
            here = {client.id for client in runner.clients.values() if client.state != STATE_MISSING}
            self.workers |= here
            for worker in self.workers - here - self.lost.keys():
                self.lost[worker] = round(second, 1)
                say(f"load: worker {worker} is lost, {second:.0f} s after the start")

    def show(self) -> None:
        """Show the last point: on a terminal in one line that changes, elsewhere every five seconds in one more."""
        last, total = self.history[-1], self.environment.stats.total
        line = (
            f"{last['second']:5.0f} of {options(self.environment).run_time:.0f} s  {last['users']:5.0f} users  "
            f"{last['requests_per_second']:7.1f} requests/s  p50 {last['p50_ms']:5.0f} ms  "
            f"p95 {last['p95_ms']:5.0f} ms  {total.num_failures:5} failed"
        )
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif len(self.history) % 5 == 0:
            print(line, flush=True)


def route(entry: StatsEntry) -> Route:
    """Return locust's statistics of one route as ours."""
    return Route(
        entry.num_requests, entry.num_failures, {float(time): count for time, count in entry.response_times.items()}
    )


def options(environment: Environment) -> Namespace:
    """Return the options, which are there once locust has begun."""
    found: Namespace | None = environment.parsed_options
    assert found  # noqa: S101
    return found


def say(*lines: str) -> None:
    """Print lines of their own, whatever line the progress is in."""
    print(*(["", *lines] if sys.stdout.isatty() else lines), sep="\n", flush=True)
