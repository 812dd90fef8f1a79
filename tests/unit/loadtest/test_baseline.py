"""A run that is held to the figures of earlier ones."""

import json
from collections import Counter

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


def test_tolerance_is_four_times_the_spread():
    assert baseline.limit("p50_ms", [10, 11, 12]) == 12 + 4 * 2
    assert baseline.limit("requests_per_second", [100, 104]) == 100 - 4 * 4


def test_rounding_alone_misses_no_baseline():
    assert baseline.limit("p50_ms", [3010] * 5) >= 3020
    assert baseline.limit("requests_per_second", [100] * 5) == 99


def test_route_with_few_responses_has_no_figures():
    recorded = Recorded(
        10, {"GET /": Route(60, 0, Counter({10: 60})), "GET /stream": Route(49, 0, Counter({3010: 49}))}
    )
    found = baseline.figures(recorded)
    assert found["GET /", "p95_ms"] == 10
    assert found["GET /stream", "p95_ms"] is None
    assert found["total", "p95_ms"] == 3010


@pytest.mark.parametrize(("milliseconds", "requests", "expected"), [(20, 840, [True, True]), (21, 839, [False, False])])
def test_run_is_held_to_the_tolerance(milliseconds, requests, expected, file):
    recorded = Recorded(10, {"GET /": Route(requests, 0, Counter({milliseconds: requests}))})
    rows, remark = baseline.rows(file, SETTINGS, recorded)
    assert [row.met for row in rows] == [*expected, None]
    assert {row.objective.origin for row in rows} == {"baseline"}
    assert remark == "Held to the baseline of 5 runs, too."


def test_run_with_other_settings_is_not_held_to_it(file):
    rows, remark = baseline.rows(file, SETTINGS | {"users": 21}, Recorded(10, {}))
    assert rows == []
    assert remark == "Not held to the baseline, which has other settings: users."


def test_breakpoint_is_not_held_to_it(file):
    assert baseline.rows(file, SETTINGS | {"shape": "breakpoint"}, Recorded(10, {})) == ([], "")


@pytest.mark.parametrize(
    ("name", "value", "begins"),
    [
        ("RUNS", "x", "RUNS is 'x': it must be 3 or more, "),
        ("RUNS", "2", "RUNS is '2': it must be 3 or more, "),
        ("LOCUST_SHAPE", "breakpoint", "SHAPE is breakpoint: "),
    ],
)
def test_settings_without_a_baseline_are_refused_in_one_sentence(name, value, begins, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^load-baseline: {begins}"):
        baseline.main()


def test_no_baseline_has_no_rows(tmp_path):
    assert baseline.rows(tmp_path / "none.json", SETTINGS, Recorded(10, {})) == ([], "")
