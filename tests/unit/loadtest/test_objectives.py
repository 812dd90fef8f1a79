"""Objectives in a file, and the statistics that are held to them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from loadtest import objectives
from loadtest.objectives import ObjectiveError, Recorded, Route

KNOWN = {"GET /", "GET /stream"}
RECORDED = Recorded(
    seconds=10,
    routes={
        "GET /": Route(100, 2, Counter({10: 50, 20: 45, 300: 5})),
        "GET /stream": Route(10, 0, Counter({3000: 10})),
    },
)
GENERATOR = {"cpu_percent": 40, "late_p95_ms": 3, "users_percent": 100}


@pytest.fixture
def given(tmp_path):
    """Return a function that reads objectives from a file with this text."""

    def read(text):
        file = tmp_path / "objectives.toml"
        file.write_text(text)
        return objectives.read(file, KNOWN)

    return read


def results(rows):
    return {(row.objective.subject, row.objective.metric): (row.measured, row.met) for row in rows}


def test_figures_are_held_to_their_objectives(given):
    rows = given("""
        [total]
        requests_per_second = 12
        error_percent = 1.8
        [route."GET /"]
        p50_ms = 10
        p95_ms = 20
        p99_ms = 299
        error_percent = 2
    """).rows(RECORDED)
    assert results(rows) == {
        ("total", "requests_per_second"): (11, False),
        ("total", "error_percent"): (pytest.approx(200 / 110), False),
        ("GET /", "p50_ms"): (10, True),
        ("GET /", "p95_ms"): (20, True),
        ("GET /", "p99_ms"): (300, False),
        ("GET /", "error_percent"): (2, True),
    }


def test_unnamed_route_is_held_to_the_objectives_of_every_route(given):
    rows = given('[route."*"]\np50_ms = 100\n[route."GET /stream"]\np50_ms = 4000').rows(RECORDED)
    assert results(rows) == {("GET /", "p50_ms"): (10, True), ("GET /stream", "p50_ms"): (3000, True)}
    assert len(rows) == 2


def test_route_without_requests_is_not_measured(given):
    rows = given('[route."GET /stream"]\np50_ms = 1\nerror_percent = 0\nrequests_per_second = 1').rows(Recorded(10, {}))
    assert {passed for _, passed in results(rows).values()} == {None}


def test_run_without_requests_misses_its_throughput(given):
    assert results(given("[total]\nrequests_per_second = 1").rows(Recorded(10, {}))) == {
        ("total", "requests_per_second"): (0, False)
    }


@pytest.mark.parametrize(
    ("metric", "value"), [("cpu_percent", 91), ("late_p95_ms", 101), ("users_percent", 94)], ids=str
)
def test_generator_that_did_not_keep_up_makes_the_run_invalid(metric, value, given):
    limits = given("[generator]\ncpu_percent = 90\nlate_p95_ms = 100\nusers_percent = 95")
    assert limits.invalid(GENERATOR) == []
    [reason] = limits.invalid(GENERATOR | {metric: value})
    assert reason.startswith(f"the generator's {metric} is {value}; the limit is ")


def test_routes_that_are_not_known_before_the_run_can_have_objectives(tmp_path):
    (tmp_path / "objectives.toml").write_text('[route."GET /"]\np50_ms = 1\n[route."GET /mine"]\np50_ms = 1')
    found = objectives.read(tmp_path / "objectives.toml", None)
    assert [row.objective.subject for row in found.rows(RECORDED, None)] == ["GET /"]
    assert found.unused(RECORDED) == ["GET /mine"]


def test_part_of_a_run_has_its_own_statistics():
    earlier = Recorded(4, {"GET /": Route(50, 2, Counter({10: 50}))})
    part = RECORDED.since(earlier)
    assert part.seconds == 6
    assert part.routes["GET /"] == Route(50, 0, Counter({20: 45, 300: 5}))
    assert part.routes["GET /stream"] == RECORDED.routes["GET /stream"]


FEW = Recorded(
    10,
    {
        "GET /": Route(4, 0, Counter({10: 4})),
        "GET /stream": Route(4, 1, Counter({10: 4})),
        "GET /ok": Route(5, 0, Counter({9: 5})),
    },
)


def test_objective_with_too_few_responses_is_not_measured(given):
    rows = given('minimum_responses = 5\n[route."*"]\nerror_percent = 30\np95_ms = 100').rows(FEW)
    assert results(rows) == {
        ("GET /", "error_percent"): (None, None),
        ("GET /", "p95_ms"): (None, None),
        ("GET /stream", "error_percent"): (None, None),
        ("GET /stream", "p95_ms"): (None, None),
        ("GET /ok", "error_percent"): (0, True),
        ("GET /ok", "p95_ms"): (9, True),
    }


def test_failure_counts_however_few_the_responses(given):
    [row] = given('minimum_responses = 5\n[route."GET /stream"]\nerror_percent = 20').rows(FEW)
    assert (row.measured, row.met) == (25, False)


def test_route_has_a_minimum_of_its_own(given):
    [row] = given('minimum_responses = 5\n[route."GET /"]\nminimum_responses = 4\np95_ms = 20').rows(FEW)
    assert (row.measured, row.met) == (10, True)


def test_route_that_was_never_requested_is_not_measured(given):
    rows = given('[route."*"]\np95_ms = 100').rows(RECORDED, {"GET /", "DELETE /about"})
    assert [row.objective.subject for row in rows if row.met is None] == ["DELETE /about"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[totals]", r"\[totals\] must be one of note, minimum_responses, total, route"),
        ("[total]\np50 = 1", "p50 of 'total' must be one of requests_per_second, error_percent, p50_ms"),
        ('[route."GET /abuot"]\np50_ms = 1', "no scenario has a route 'GET /abuot'; there are GET /, GET /stream"),
        ('[route."GET /"]\np50_ms = "fast"', "p50_ms of 'GET /' is 'fast': it must be a number, 0 or more"),
        ("[total]\nerror_percent = true", "error_percent of 'total' is True: it must be a number"),
        ("[total]\nerror_percent = -1", "is -1: it must be a number, 0 or more"),
        ("minimum_responses = 0\n[total]\np50_ms = 1", "minimum_responses of 'total' is 0: it must be a whole number"),
        ('[route."GET /"]\nminimum_responses = "x"', "minimum_responses of 'GET /' is 'x': it must be a whole number"),
        ("total = 1", "'total' is 1: it must be a table of metrics"),
        ("[total", "Expected"),
    ],
)
def test_objective_that_is_not_allowed_is_refused_in_one_sentence(text, sentence, given):
    with pytest.raises(ObjectiveError, match=sentence):
        given(text)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ObjectiveError, match=r"none\.toml: .*No such file"):
        objectives.read(tmp_path / "none.toml", KNOWN)


def test_objectives_of_the_template_say_that_they_are_lenient():
    path = Path(objectives.__file__).with_name("objectives.toml")
    given = objectives.read(path, re.findall(r'^\[route\."(.+)"\]', path.read_text(), re.MULTILINE))
    assert "lenient" in given.note
    assert {each.metric for each in given.generator} == {"cpu_percent", "late_p95_ms", "users_percent"}
