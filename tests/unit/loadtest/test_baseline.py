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


def test_the_tolerance_is_twice_what_the_runs_differ_by():
    assert baseline.limit("p50_ms", [10, 11, 12]) == 12 + 2 * 2
    assert baseline.limit("requests_per_second", [100, 104]) == 100 - 2 * 4


@pytest.mark.parametrize(("milliseconds", "requests", "expected"), [(16, 920, [True, True]), (17, 919, [False, False])])
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


def test_without_a_baseline_there_is_nothing_to_say(tmp_path):
    assert baseline.rows(tmp_path / "none.json", SETTINGS, Recorded(10, {})) == ([], "")
