"""Whether the generator kept up: a freeze is all the moments that it missed, and a busy time is no mean of the run."""

import time

import pytest

from loadtest.objectives import Route

gevent = pytest.importorskip("gevent", reason="the load test: gevent is not installed, `make .venv/loadtest`")
generator = pytest.importorskip("loadtest.generator")


def test_a_freeze_counts_for_every_moment_that_was_missed():
    monitor = generator.Monitor()
    monitor.start()
    gevent.sleep(0.5)
    time.sleep(0.5)  # freezes the loop
    gevent.sleep(0.2)
    monitor.stop()
    late = monitor.effort.late
    assert sum(late.values()) >= 22
    # Ten moments were missed, by 500, 450 ... milliseconds: of these eight by 100 and more.
    assert sum(count for milliseconds, count in late.items() if milliseconds >= 100) >= 8
    assert Route(times=late).percentile(0.95) >= 350


def test_the_busiest_window_counts_and_not_the_mean(monkeypatch):
    monkeypatch.setattr(generator, "WINDOW", 0.2)
    monitor = generator.Monitor()
    monitor.start()
    gevent.sleep(0.3)
    until = time.process_time() + 0.4
    while time.process_time() < until:
        gevent.sleep(0)
    gevent.sleep(0.6)
    monitor.stop()
    mean = monitor.effort.cpu / monitor.effort.seconds * 100
    assert generator.figures({"": monitor.effort})["cpu_percent"] > mean * 1.3


def test_a_part_of_a_run_has_the_busiest_window_of_its_own():
    first = generator.Effort(10, 8, {}, {100: 1, 60: 1})
    assert first.busiest == 100
    assert generator.Effort(20, 13, {}, {100: 1, 60: 1, 40: 1, 60.5: 1}).since(first).busiest == 60.5
    assert generator.Effort(12, 9, {}, {100: 1, 60: 1}).since(first).busiest == 50  # no window ended in it


@pytest.mark.parametrize(("text", "share"), [("50000 100000\n", 0.5), ("400000 100000\n", 1), ("max 100000\n", 1)])
def test_a_container_with_half_a_core_is_busy_when_it_uses_half_a_core(text, share, tmp_path):
    (tmp_path / "cpu.max").write_text(text)
    assert generator.allowed(tmp_path / "cpu.max") == share


def test_without_a_quota_a_process_may_use_one_core(tmp_path):
    assert generator.allowed(tmp_path / "none") == 1
