"""A run held against what this machine did before."""

import json

import pytest

from loadtest import baseline
from loadtest.objectives import Recorded, Route

SETTINGS = {"shape": "smoke", "users": 20}
FIGURES = [
    {"subject": "GET /", "metric": "p50_ms", "values": [10, 11, 12, 10, 11]},
    {"subject": "total", "metric": "requests_per_second", "values": [100, 104, 102, 101, 103]},
    {"subject": "GET /gone", "metric": "p50_ms", "values": [1, 1, 1]},
]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / baseline.FILE
    file.write_text(json.dumps({"settings": SETTINGS, "figures": FIGURES}))
    return file


def test_the_tolerance_is_four_times_what_the_runs_differ_by():
    assert baseline.limit("p50_ms", [10, 11, 12]) == 12 + 4 * 2
    assert baseline.limit("requests_per_second", [100, 104]) == 100 - 4 * 4


def test_a_rounded_figure_that_never_differed_may_differ_by_a_step():
    assert baseline.limit("p50_ms", [3010] * 5) >= 3020
    assert baseline.limit("requests_per_second", [100] * 5) == 99


def test_a_route_with_few_answers_has_no_figures():
    recorded = Recorded(10, {"GET /": Route(60, 0, {10: 60}), "GET /stream": Route(49, 0, {3010: 49})})
    found = baseline.figures(recorded)
    assert found["GET /", "p95_ms"] == 10
    assert found["GET /stream", "p95_ms"] is None
    assert found["total", "p95_ms"] == 3010


@pytest.mark.parametrize(("milliseconds", "requests", "expected"), [(20, 840, [True, True]), (21, 839, [False, False])])
def test_a_run_passes_within_the_tolerance_and_fails_beyond_it(milliseconds, requests, expected, file):
    recorded = Recorded(10, {"GET /": Route(requests, 0, {milliseconds: requests})})
    rows, remark = baseline.rows(file, SETTINGS, recorded)
    assert [row.passed for row in rows] == [*expected, None]
    assert {row.objective.origin for row in rows} == {"baseline"}
    assert remark == "Held against the baseline of 5 runs, too."


def test_a_run_with_other_settings_is_not_held_against_it_and_says_so(file):
    rows, remark = baseline.rows(file, SETTINGS | {"users": 21}, Recorded(10, {}))
    assert rows == []
    assert remark == "Not held against the baseline: it has another setting of users."


def test_a_breakpoint_is_not_held_against_it_and_does_not_say_so(file):
    assert baseline.rows(file, SETTINGS | {"shape": "breakpoint"}, Recorded(10, {})) == ([], "")


@pytest.mark.parametrize(
    ("name", "value", "begins"),
    [
        ("RUNS", "x", "RUNS is x: it must be 3 or more, "),
        ("RUNS", "2", "RUNS is 2: it must be 3 or more, "),
        ("LOCUST_SHAPE", "breakpoint", "SHAPE is breakpoint: "),
    ],
)
def test_what_no_baseline_can_be_made_of_is_refused_in_one_sentence(name, value, begins, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^load-baseline: {begins}"):
        baseline.main()


def test_without_a_baseline_there_is_nothing_to_say(tmp_path):
    assert baseline.rows(tmp_path / "none.json", SETTINGS, Recorded(10, {})) == ([], "")
