"""Every thread is busy: requests that make progress are not cut, and a deadlock is ended."""

import threading
from contextlib import contextmanager

import httpx
import pytest

from tests.stack.waiting import until

THREADS = 4  # of the probe's only worker


@contextmanager
def streams(probe, count, ticks):
    """Open event streams, and yield their numbers of events so far; the last is negative if the stream was cut."""
    seen = [0] * count

    def follow(index):
        try:
            with httpx.stream("GET", f"{probe.url}/ticks/{ticks}", timeout=60) as response:
                for line in response.iter_lines():
                    seen[index] += line.startswith("data: ")
        except httpx.TransportError:
            seen[index] *= -1

    threads = [threading.Thread(target=follow, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    until(lambda: all(seen), "the streams have begun")
    yield seen, threads


@pytest.mark.nightly
def test_streams_on_every_thread_are_not_cut(probe):
    with streams(probe, THREADS, 140) as (seen, threads):
        for thread in threads:
            thread.join(200)
    assert seen == [140] * THREADS
    assert "ending" not in probe.logs("app")
    assert probe.is_up()


@pytest.mark.nightly
def test_deadlock_beside_streams_is_ended(probe):
    before = probe.workers()
    with streams(probe, THREADS - 1, 1000) as (seen, _):
        response = httpx.get(f"{probe.url}/deadlock", timeout=60)
        assert response.status_code in (503, 504)
        until(lambda: all(number < 0 for number in seen), "the streams are cut with their worker", 30)
    until(probe.is_up, "the site is ready")
    assert not before & probe.workers()
    log = probe.logs("app")
    assert f"live: 1 of {THREADS} threads of worker " in log
    assert " in deadlock" in log  # the traceback
