"""The measurements of a stack, their order, and the cases that are not measured."""

import json
import os
import re
from collections import Counter
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip(
    "geventhttpclient", reason="the comparison: locust, with gevent, is not installed, `make .venv/loadtest`"
)

from loadtest.compare import __main__ as program
from loadtest.compare import generators, measurements
from loadtest.compare.generators import AtRate, Saturation
from loadtest.compare.measurements import Plan
from loadtest.compare.options import Options
from loadtest.compare.results import Result
from loadtest.compare.stack import Stack, StackError, own_megabytes
from loadtest.compare.variants import Variant
from loadtest.objectives import Route
from loadtest.site import Version

PLAN = Plan("/", 3, 5, (10, 20, 30), slow=3)


def options(tmp_path=Path(), **settings):
    limits = {"APP_CPUS": "1", "APP_MEMORY": "512m"}
    variants = {"A": Variant("a", settings=settings), "B": Variant("b")}
    return Options(variants, "/", 3, 5, 3, limits, "", tmp_path, is_for_docs=False, environ={})


class FakeStack(Stack):
    """A stack without Docker that records its calls."""

    def __init__(self, **settings):
        given = options(**settings)
        super().__init__("A", given.variants["A"], Path(), given)
        self.done, self.seconds, self.size = [], 0, (2, 4)
        self.statuses = {measurements.SLOW: True}

    url = "http://stack"

    def compose(self, *arguments):
        self.done.append(arguments[0])
        return ""

    def cold_start(self):
        self.done.append("start")
        return 0.5

    def deploy(self):
        self.done.append("deploy")
        return 2.0

    def threads(self):
        return self.size[0] * self.size[1]

    def answers(self, path):
        return self.statuses[path]

    def image_sizes(self):
        return 400, 5

    def usage(self, service):
        self.seconds += 0.35
        return self.seconds, 40


@pytest.fixture
def stack(monkeypatch):
    """Return a stack that records its load and answers every request."""
    fake = FakeStack()

    def saturate(_url, _path, seconds):
        fake.done.append(f"busy {seconds} s")
        return Saturation(900, 0, seconds)

    def at_rate(_url, _path, rate, _seconds, slow):
        fake.done.append(f"{rate}/s, {slow[1]} slow")
        return AtRate(Route(100, 0, Counter({1.0: 100})), cpu_percent=20, late_p95_ms=1)

    monkeypatch.setattr(measurements, "saturate", saturate)
    monkeypatch.setattr(measurements, "at_rate", at_rate)
    monkeypatch.setattr(measurements.time, "sleep", lambda _: None)
    return fake


def test_measurements_start_with_new_warm_processes_and_end_with_a_stopped_app(stack):
    found = measurements.measure(stack, PLAN)
    load = ["busy 1 s", "busy 3 s", "10/s, 0 slow", "20/s, 0 slow", "30/s, 0 slow", "10/s, 3 slow"]
    assert stack.done == ["start", *load, "deploy", "stop"]
    assert found.keys() == set(measurements.metrics(PLAN))


def test_measurements_of_the_bare_callable(stack):
    found = measurements.measure_bare(stack, PLAN)
    assert stack.done == ["start", "busy 1 s", "busy 3 s", "20/s, 0 slow", "stop"]
    assert found.keys() < set(measurements.metrics(PLAN))


def test_stacks_are_stopped_after_their_start(monkeypatch):
    done = {}

    def note(stack, what):
        done.setdefault(stack.label, []).append(what)

    for name in ("up", "stop", "down"):
        monkeypatch.setattr(Stack, name, lambda stack, name=name: note(stack, name))
    with program.ExitStack() as cleanup:
        program.start(options(), cleanup)
        assert done == {label: ["up", "stop"] for label in ("A", "A bare", "B", "B bare")}


@pytest.mark.parametrize(("cpu", "late"), [(91, 1), (20, 6)])
def test_latency_is_not_measured_if_the_generator_was_late_or_busy(cpu, late, stack, monkeypatch, capsys):
    monkeypatch.setattr(measurements, "at_rate", lambda *_: AtRate(Route(100, 0, Counter({1.0: 100})), cpu, late))
    assert [*measurements.at_fixed_rate(stack, PLAN, 10).values()] == [None, None]
    assert "A at 10/s: not measured, because the generator used" in capsys.readouterr().out


def test_failed_requests_count_as_the_slowest(stack, monkeypatch):
    monkeypatch.setattr(measurements, "at_rate", lambda *_: AtRate(Route(100, 2, Counter({1.0: 98, inf: 2})), 20, 1))
    assert [*measurements.at_fixed_rate(stack, PLAN, 10).values()] == [1.0, inf]
    assert (stack.failures, stack.requests) == (2, 100)


def test_failures_at_saturation_are_counted_and_many_end_the_comparison(stack, monkeypatch):
    monkeypatch.setattr(measurements, "saturate", lambda *_: Saturation(900, 90, 3))
    assert measurements.at_saturation(stack, PLAN)[measurements.THROUGHPUT] == 270
    assert (stack.failures, stack.requests) == (90, 900)
    for failures in (91, 900):
        monkeypatch.setattr(measurements, "saturate", lambda *_, failures=failures: Saturation(900, failures, 3))
        with pytest.raises(StackError, match=f"^A: {failures} of 900 requests to / failed$"):
            measurements.at_saturation(stack, PLAN)


def test_wrk_waits_longer_than_nginx(monkeypatch):
    site = (program.ROOT / "nginx" / "proxy.conf").read_text()
    lines = []

    def run(line):
        lines.append(line)
        return "  900 requests in 3.00s, 1MB read\nRequests/sec:  300.00\n"

    monkeypatch.setattr(generators, "run", run)
    assert generators.saturate("http://stack", "/", 3) == Saturation(900, 0, 3)
    [timeout] = re.findall(r"proxy_read_timeout (\d+)s", site)
    assert int(lines[0][lines[0].index("--timeout") + 1].removesuffix("s")) > int(timeout)


@pytest.mark.parametrize(("limit", "share"), [("1", 23.3), ("2", 11.7), ("0", 70 / 3 / (os.cpu_count() or 1))])
def test_other_bottleneck_than_the_app_is_reported(limit, share, stack):
    stack.environ["APP_CPUS"] = limit
    used = measurements.at_saturation(stack, PLAN)[measurements.USED]
    assert used == pytest.approx(share, abs=0.1)
    result = Result(measurements.USED, {"A": [used] * 2, "B": [90, 95], "A bare": [], "B bare": []})
    names = program.columns({"A": Variant("a"), "B": Variant("b")})
    assert program.bottlenecks([result], names) == [
        f"a: the app used {used:.0f} % of its CPU at saturation, so nginx, wrk or other work was the bottleneck."
    ]
    assert result.verdict == ""


@pytest.mark.parametrize(("size", "slow"), [((2, 4), 3), ((2, 2), 1), ((1, 2), 0), ((1, 3), 1), ((0, 0), 0)])
def test_slow_requests_leave_more_than_half_of_the_threads(size, slow, capsys):
    stack = FakeStack()
    stack.size = size
    assert program.slow_requests(stack) == slow
    assert ("too few" in capsys.readouterr().out) == (not slow)


@pytest.mark.parametrize(
    ("found", "threads"),
    [((Version("gunicorn", "1", 2, 4), "a"), 8), ((Version("gunicorn", "1"), "a"), 0), (None, 0)],
)
def test_number_of_threads_is_read_from_version(found, threads, monkeypatch):
    monkeypatch.setattr("loadtest.compare.stack.read_version", lambda _: found)
    assert Stack.threads(FakeStack()) == threads


def test_fork_without_the_slow_route_has_no_row_for_it(capsys):
    stack = FakeStack()
    stack.statuses[measurements.SLOW] = False
    assert program.slow_requests(stack) == 0
    assert "compare: A: no latency beside slow requests, because /stream does not answer 200" in capsys.readouterr().out
    names = [metric.name for metric in measurements.metrics(Plan("/", 3, 5, (10, 20, 30)))]
    assert not any("slow" in name for name in names)


@pytest.mark.parametrize(
    ("variants", "names"),
    [
        (("gunicorn", "uwsgi"), ["gunicorn", "uwsgi", "gunicorn, bare", "uwsgi, bare"]),
        (("gunicorn", "gunicorn"), ["gunicorn (A)", "gunicorn (B)", "gunicorn (A), bare", "gunicorn (B), bare"]),
    ],
)
def test_columns_of_equal_variants_have_different_names(variants, names):
    columns = program.columns({column: Variant(name) for column, name in zip("AB", variants, strict=True)})
    assert [*columns.values()] == names


def test_resources_are_those_of_each_variant():
    stacks = {"A": FakeStack(APP_CPUS="2"), "B": FakeStack()}
    assert program.resources(stacks) == "A's app had 2 CPU and 512m, B's 1 CPU and 512m"
    assert program.resources({"A": stacks["B"], "B": stacks["B"]}) == "each app had 1 CPU and 512m"


def test_behaviour_is_that_of_this_run_of_locust(stack, tmp_path, monkeypatch):
    given = options(tmp_path)
    report = tmp_path / "A" / "report.json"
    report.parent.mkdir()
    report.write_text("of an earlier run")

    def leave(text=None):
        def run(*_, **__):
            if text:
                report.write_text(text)
            return SimpleNamespace(stderr="load: nothing answers")

        monkeypatch.setattr(program.subprocess, "run", run)

    leave()
    with pytest.raises(StackError, match=r"(?s)^locust wrote no report of A: .*load: nothing answers"):
        program.behave(stack, given)
    found = {"verdict": "INVALID: this run", "routes": {"GET /": {"requests": 7, "failures": 1}}}
    leave(json.dumps(found))
    assert program.behave(stack, given) == {"verdict": "INVALID: this run", "requests": 7, "failures": 1}


def test_own_size_of_an_image_is_that_on_top_of_the_base_image():
    steps = "5000000 COPY /venv /venv\n500000 COPY app app\n0 WORKDIR /srv\n0 RUN pip\n300000000 RUN apt-get\n"
    assert own_megabytes(steps) == 5.5
    assert own_megabytes("300000000 RUN apt-get\n") is None
