"""What is done to a stack when it is its turn, what is said of it, and what is not measured."""

import json
import os
import re
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip(
    "geventhttpclient", reason="the turns: locust, with gevent, is not installed, `make .venv/loadtest`"
)

from loadtest.compare import __main__ as program
from loadtest.compare import generators, turns
from loadtest.compare.generators import AtRate, Saturation
from loadtest.compare.results import Result
from loadtest.compare.sides import Side
from loadtest.compare.stack import Stack, StackError, own_megabytes
from loadtest.compare.turns import Plan
from loadtest.objectives import Route

PLAN = Plan("/", 3, 5, (10, 20, 30), slow=3)


class FakeStack(Stack):
    """A stack without Docker, which notes what is done to it."""

    def __init__(self, settings=None, log=""):
        super().__init__("A", Side("a", settings=settings or {}), Path(), {"APP_CPUS": "1", "APP_MEMORY": "512m"})
        self.log, self.done, self.seconds = log, [], 0
        self.statuses = {turns.SLOW: True}

    url = "http://stack"

    def compose(self, *arguments):
        self.done.append(arguments[0])
        return self.log

    def cold_start(self):
        self.done.append("start")
        return 0.5

    def deploy(self):
        self.done.append("deploy")
        return 2.0

    def answers(self, path):
        return self.statuses[path]

    def image_sizes(self):
        return 400, 5

    def usage(self, service):
        self.seconds += 0.35
        return self.seconds, 40


@pytest.fixture
def stack(monkeypatch):
    """Return a stack that notes what load comes, and answers all of it."""
    fake = FakeStack()

    def saturate(_url, _path, seconds):
        fake.done.append(f"busy {seconds} s")
        return Saturation(900, 0, seconds)

    def at_rate(_url, _path, rate, _seconds, slow):
        fake.done.append(f"{rate}/s, {slow[1]} slow")
        return AtRate(Route(100, 0, {1.0: 100}), cpu_percent=20, late_p95_ms=1)

    monkeypatch.setattr(turns, "saturate", saturate)
    monkeypatch.setattr(turns, "at_rate", at_rate)
    monkeypatch.setattr(turns.time, "sleep", lambda _: None)
    return fake


def test_a_turn_begins_with_new_processes_that_are_warm_before_they_are_measured_and_ends_at_rest(stack):
    found = turns.turn(stack, PLAN)
    load = ["busy 1 s", "busy 3 s", "10/s, 0 slow", "20/s, 0 slow", "30/s, 0 slow", "10/s, 3 slow"]
    assert stack.done == ["start", *load, "deploy", "stop"]
    assert found.keys() == set(turns.metrics(PLAN))


def test_so_does_a_turn_of_the_bare_callable(stack):
    found = turns.bare_turn(stack, PLAN)
    assert stack.done == ["start", "busy 1 s", "busy 3 s", "20/s, 0 slow", "stop"]
    assert found.keys() < set(turns.metrics(PLAN))


def test_stacks_that_are_brought_up_rest_until_it_is_their_turn(monkeypatch):
    done = {}

    def note(stack, what):
        done.setdefault(stack.label, []).append(what)

    for name in ("up", "rest", "down"):
        monkeypatch.setattr(Stack, name, lambda stack, name=name: note(stack, name))
    with program.ExitStack() as cleanup:
        program.bring_up({"A": Side("a"), "B": Side("b")}, {}, cleanup)
        assert done == {label: ["up", "rest"] for label in ("A", "A bare", "B", "B bare")}


@pytest.mark.parametrize(("cpu", "late"), [(91, 1), (20, 6)])
def test_a_latency_is_not_measured_where_the_generator_itself_was_late_or_busy(cpu, late, stack, monkeypatch, capsys):
    monkeypatch.setattr(turns, "at_rate", lambda *_: AtRate(Route(100, 0, {1.0: 100}), cpu, late))
    assert [*turns.steady(stack, PLAN, 10).values()] == [None, None]
    assert "A at 10/s: the generator's CPU is" in capsys.readouterr().out


def test_refused_requests_are_the_slowest_of_all_and_counted(stack, monkeypatch):
    monkeypatch.setattr(turns, "at_rate", lambda *_: AtRate(Route(100, 2, {1.0: 98, inf: 2}), 20, 1))
    assert [*turns.steady(stack, PLAN, 10).values()] == [1.0, inf]
    assert (stack.failures, stack.requests) == (2, 100)


def test_a_request_that_fails_at_saturation_is_counted_and_many_end_the_comparison(stack, monkeypatch):
    monkeypatch.setattr(turns, "saturate", lambda *_: Saturation(900, 90, 3))
    assert turns.busy(stack, PLAN)[turns.THROUGHPUT] == 270
    assert (stack.failures, stack.requests) == (90, 900)
    for failures in (91, 900):
        monkeypatch.setattr(turns, "saturate", lambda *_, failures=failures: Saturation(900, failures, 3))
        with pytest.raises(StackError, match=f"^A: {failures} of 900 requests to / failed$"):
            turns.busy(stack, PLAN)


def test_wrk_waits_for_an_answer_for_longer_than_nginx_does(monkeypatch):
    site = (program.ROOT / "nginx" / "site.conf").read_text()
    lines = []

    def run(line):
        lines.append(line)
        return "  900 requests in 3.00s, 1MB read\nRequests/sec:  300.00\n"

    monkeypatch.setattr(generators, "tool", lambda: "wrk")
    monkeypatch.setattr(generators, "run", run)
    assert generators.saturate("http://stack", "/", 3) == Saturation(900, 0, 3)
    [patience] = re.findall(r"proxy_read_timeout (\d+)s", site)
    assert int(lines[0][lines[0].index("--timeout") + 1].removesuffix("s")) > int(patience)


@pytest.mark.parametrize(("limit", "share"), [("1", 23.3), ("2", 11.7), ("0", 70 / 3 / (os.cpu_count() or 1))])
def test_a_limit_that_is_not_the_apps_is_said(limit, share, stack):
    stack.environ["APP_CPUS"] = limit
    used = turns.busy(stack, PLAN)[turns.USED]
    assert used == pytest.approx(share, abs=0.1)
    result = Result(turns.USED, {"A": [used] * 2, "B": [90, 95], "A bare": [], "B bare": []})
    names = program.columns({"A": Side("a"), "B": Side("b")})
    assert program.limited([result], names) == [
        f"a: at saturation the app used {used:.0f} % of its CPU: nginx, the generator or other work is the limit."
    ]
    assert result.verdict == ""


@pytest.mark.parametrize(
    ("server", "threads", "slow"),
    [
        ("gunicorn --workers 2 --threads 4 --worker-connections 4 x", 8, 3),
        ("uwsgi --processes 2 --threads 2 --module x", 4, 1),
        ("uwsgi --processes 1 --threads 2 --module x", 2, 0),
        ("gunicorn --workers 4 --threads 4 x\nserve: gunicorn --workers 1 --threads 3 x", 3, 1),
    ],
)
def test_slow_requests_leave_more_than_half_of_the_threads(server, threads, slow, capsys):
    stack = FakeStack(log=f"serve: {server}\nListening\n")
    assert stack.threads() == threads
    assert program.slow_requests(stack) == slow
    assert ("too few" in capsys.readouterr().out) == (not slow)


def test_a_fork_without_the_slow_route_has_no_row_of_it(capsys):
    stack = FakeStack(log="serve: gunicorn --workers 2 --threads 4 x\n")
    stack.statuses[turns.SLOW] = False
    assert program.slow_requests(stack) == 0
    assert "compare: A: /stream does not answer 200, so no latency with slow" in capsys.readouterr().out
    names = [metric.name for metric in turns.metrics(Plan("/", 3, 5, (10, 20, 30)))]
    assert not any("slow" in name for name in names)


@pytest.mark.parametrize(
    ("sides", "names"),
    [
        (("gunicorn", "uwsgi"), ["gunicorn", "uwsgi", "gunicorn, bare", "uwsgi, bare"]),
        (("gunicorn", "gunicorn"), ["gunicorn (A)", "gunicorn (B)", "gunicorn (A), bare", "gunicorn (B), bare"]),
    ],
)
def test_two_sides_of_one_name_are_told_apart(sides, names):
    columns = program.columns({column: Side(name) for column, name in zip("AB", sides, strict=True)})
    assert [*columns.values()] == names


def test_what_each_app_may_use_is_what_its_side_has_set():
    stacks = {"A": FakeStack({"APP_CPUS": "2"}), "B": FakeStack()}
    assert program.each_with(stacks) == "A's app with 2 CPU and 512m, B's with 1 CPU and 512m"
    assert program.each_with({"A": stacks["B"], "B": stacks["B"]}) == "each app with 1 CPU and 512m"


def test_what_locust_finds_is_of_this_run_with_its_verdict(stack, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "REPORT", tmp_path)
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
    with pytest.raises(StackError, match=r"(?s)^locust left no report of A: .*load: nothing answers"):
        program.behave(stack, 3)
    found = {"verdict": "INVALID: this run", "routes": {"GET /": {"requests": 7, "failures": 1}}}
    leave(json.dumps(found))
    assert program.behave(stack, 3) == {"verdict": "INVALID: this run", "requests": 7, "failures": 1}


def test_of_an_image_only_what_is_put_on_the_base_image_is_our_own():
    steps = "5000000 COPY /venv /venv\n500000 COPY app app\n0 WORKDIR /srv\n0 RUN pip\n300000000 RUN apt-get\n"
    assert own_megabytes(steps) == 5.5
    assert own_megabytes("300000000 RUN apt-get\n") is None
