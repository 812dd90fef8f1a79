"""The health of the generator: lateness in a freeze, CPU in the busiest window."""

import time
from collections import Counter

import pytest

from loadtest.objectives import Route

gevent = pytest.importorskip("gevent", reason="the load test: gevent is not installed, `make .venv/loadtest`")
generator = pytest.importorskip("loadtest.generator")


def test_freeze_counts_every_missed_wake_up():
    monitor = generator.Monitor()
    gevent.sleep(0.5)
    time.sleep(0.5)  # freezes the loop
    gevent.sleep(0.2)
    monitor.stop()
    late = monitor.effort.late
    assert sum(late.values()) >= 22
    # Ten moments were missed, by 500, 450 ... milliseconds: of these eight by 100 and more.
    assert sum(count for milliseconds, count in late.items() if milliseconds >= 100) >= 8
    assert Route(times=late).percentile(0.95) >= 350


def test_busiest_window_counts_not_the_mean(monkeypatch):
    monkeypatch.setattr(generator, "WINDOW", 0.2)
    monitor = generator.Monitor()
    gevent.sleep(0.3)
    until = time.process_time() + 0.4
    while time.process_time() < until:
        gevent.sleep(0)
    gevent.sleep(0.6)
    monitor.stop()
    mean = monitor.effort.cpu / monitor.effort.seconds * 100
    assert generator.figures({"": monitor.effort})["cpu_percent"] > mean * 1.3


def effort(seconds, cpu, busy):
    return generator.Effort(seconds, cpu, Counter(), Counter(busy))


def test_part_of_a_run_has_its_own_busiest_window():
    first = effort(10, 8, {100: 1, 60: 1})
    assert first.busiest == 100
    assert effort(20, 13, {100: 1, 60: 1, 40: 1, 60.5: 1}).since(first).busiest == 60.5
    assert effort(12, 9, {100: 1, 60: 1}).since(first).busiest == 50  # no window ended in it


@pytest.mark.parametrize(("limit", "factor"), [(0.5, 2), (4.0, 1)])
def test_cpu_is_a_share_of_the_limit_and_at_most_of_one_core(limit, factor, monkeypatch):
    monkeypatch.setattr(generator, "cpu_limit", lambda: limit)
    began = time.process_time()
    monitor = generator.Monitor()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        gevent.sleep(0)
    gevent.sleep(0.1)
    used = time.process_time() - began
    monitor.stop()
    assert monitor.effort.cpu == pytest.approx(used * factor, rel=0.2)
