"""Records a run while it lasts: its statistics, its peak of users and its lost workers; prints progress."""

import sys
import time
from argparse import Namespace
from collections import Counter, deque
from datetime import UTC, datetime

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner
from locust.stats import StatsEntry

from loadtest.objectives import Recorded, Route

WINDOW = 3  # seconds of the progress line's figures: locust's workers report every three seconds


def bucket(milliseconds: float) -> float:
    """Round to three significant digits. locust's two cannot show a small difference."""
    return float(f"{milliseconds:.3g}")


class Recorder:
    """Records one run, from its creation to `stop`."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.workers: set[str] = set()
        self.lost: dict[str, float] = {}  # workers, and the second at which each was missing
        self.seconds = 0.0
        self.peak = self.wanted = 0  # users
        self.began, self.started = time.perf_counter(), datetime.now(UTC)
        self.find_lost_workers()
        self.task = gevent.spawn(self.watch)

    def stop(self) -> None:
        """End recording."""
        self.seconds = time.perf_counter() - self.began
        self.task.kill()
        if sys.stdout.isatty():
            print()

    def recorded(self) -> Recorded:
        """Return the statistics so far."""
        entries = self.environment.stats.entries.values()
        seconds = self.seconds or time.perf_counter() - self.began
        return Recorded(seconds, {f"{each.method} {each.name}": route(each) for each in entries})

    def watch(self) -> None:
        """Look for lost workers, note the peak and print progress, once a second."""
        past = deque([Recorded(0, {})], maxlen=WINDOW + 1)
        while True:
            gevent.sleep(1)
            runner = self.environment.runner
            assert runner  # noqa: S101
            self.peak, self.wanted = max(self.peak, runner.user_count), max(self.wanted, runner.target_user_count)
            if runner.state in (STATE_SPAWNING, STATE_RUNNING):
                self.find_lost_workers()  # not while the run stops, because then all workers disconnect
            now = Recorded(time.perf_counter() - self.began, {"": route(self.environment.stats.total)})
            self.show(now, now.since(past[0]), runner.user_count)
            past.append(now)

    def find_lost_workers(self) -> None:
        """Note the workers that have disconnected."""
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            second = time.perf_counter() - self.began
            here = {client.id for client in runner.clients.values() if client.state != STATE_MISSING}
            self.workers |= here
            for worker in self.workers - here - self.lost.keys():
                self.lost[worker] = round(second, 1)
                say(f"load: worker {worker} is lost, {second:.0f} s after the start")

    def show(self, now: Recorded, window: Recorded, users: int) -> None:
        """Print the progress: on a terminal in one line that changes, otherwise in a new line every five seconds."""
        last = window.routes[""]
        line = (
            f"{now.seconds:5.0f} {length(self.environment)}  {users:5.0f} users  "
            f"{last.requests / window.seconds:7.1f} requests/s  p50 {last.percentile(0.50) or 0:5.0f} ms  "
            f"p95 {last.percentile(0.95) or 0:5.0f} ms  {now.routes[''].failures:5} failed"
        )
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif round(now.seconds) % 5 == 0:
            print(line, flush=True)


def route(entry: StatsEntry) -> Route:
    """Convert locust's statistics of one route."""
    return Route(entry.num_requests, entry.num_failures, Counter(entry.response_times))


def options(environment: Environment) -> Namespace:
    """Return the parsed options."""
    found: Namespace | None = environment.parsed_options
    assert found  # noqa: S101
    return found


def length(environment: Environment) -> str:
    """Return "of 20 s" for a run of a known length, "s" otherwise: a shape of one's own ends when it wants to."""
    seconds = options(environment).run_time
    return f"of {seconds:.0f} s" if seconds else "s"


def say(*lines: str) -> None:
    """Print the lines below the progress line."""
    print(*(["", *lines] if sys.stdout.isatty() else lines), sep="\n", flush=True)
