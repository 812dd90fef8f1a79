"""The verdict of a run, and its report."""

import json
from collections import Counter

import pytest

from loadtest import report
from loadtest.objectives import Objective, Recorded, Route, Row
from loadtest.report import Outcome, Step

GOOD = Row(Objective("GET /", "p95_ms", 100), 50)
BAD = Row(Objective("GET /", "p99_ms", 100), 150)
SLOW = Row(Objective("total", "requests_per_second", 10), 9)
SILENT = Row(Objective("GET /stream", "p95_ms", 100), None, 4)


def outcome(rows=(), invalid=(), steps=()):
    return Outcome(
        measured={
            "host": "http://site",
            "backend": "uwsgi",
            "release": "7",
            "workers": 2,
            "threads": 4,
            "instances": ["a"],
            "started": "2026-01-02 03:04:05 UTC",
            "seconds": 20.1,
        },
        settings={"shape": "smoke", "users": 3},
        notes=["a <note>"],
        invalid=[*invalid],
        rows=[*rows],
        steps=[*steps],
        generator={"cpu_percent": 7},
        recorded=Recorded(10, {"GET /": Route(4, 1, Counter({50: 3, 150: 1}))}),
        errors=[{"occurrences": 1, "method": "GET", "name": "/", "error": "expected 200; came <500>"}],
    )


@pytest.mark.parametrize(
    ("rows", "invalid", "code"),
    [
        ([GOOD, SILENT], [], 0),
        ([GOOD, BAD], [], 1),
        ([GOOD, SLOW], [], 1),
        ([GOOD], ["a worker was lost"], 2),
        ([BAD], ["a worker was lost"], 2),
        ([SILENT], [], 2),
    ],
)
def test_run_passes_fails_or_is_invalid(rows, invalid, code, tmp_path):
    ended = outcome(rows, invalid)
    assert ended.exit_code == code
    assert report.verdict(ended, tmp_path)[-1].startswith("load: " + ["passed", "FAILED", "INVALID"][code])


def test_table_has_figures_and_limits_of_each_subject(tmp_path):
    baseline = Row(Objective("GET /", "p95_ms", 40, "baseline"), 50)
    lines = report.verdict(outcome([GOOD, BAD, SLOW, SILENT, baseline]), tmp_path)
    lines = [" ".join(line.split()) for line in lines]
    assert "GET / 50 <= 100 150 > 100 MISSED" in lines
    assert "GET /, baseline 50 > 40 MISSED" in lines
    assert "GET /stream - not measured: too few responses (4)" in lines
    assert "total 9 < 10 MISSED" in lines


def test_verdict_counts_the_objectives_that_were_not_measured(tmp_path):
    assert outcome([GOOD]).verdict == "passed: 1 of 1 objectives met"
    assert outcome([GOOD, SILENT]).verdict == "passed: 1 of 2 objectives met, 1 not measured"
    assert outcome([BAD, GOOD, SILENT]).verdict == "FAILED: 1 of 3 objectives missed, 1 not measured"
    few = "load: not measured, too few responses: GET /stream (4): set a longer RUN_TIME"
    assert few in report.verdict(outcome([GOOD, SILENT]), tmp_path)


def test_every_result_names_what_was_measured(tmp_path):
    sentence = (
        "Measured: backend uwsgi, release 7, 2 workers of 4 threads, at http://site, "
        "from 2026-01-02 03:04:05 UTC for 20 s."
    )
    assert sentence in report.verdict(outcome([GOOD]), tmp_path)
    report.write(outcome([GOOD]), tmp_path)
    assert sentence in (tmp_path / "index.html").read_text()
    measured = json.loads((tmp_path / "report.json").read_text())["measured"]
    assert measured == outcome().measured


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            [Step(10, [GOOD], {}, []), Step(20, [BAD], {}, [])],
            "The highest load that met the objectives: 10 users. The run ended at 20 users: ",
        ),
        (
            [Step(10, [GOOD], {}, []), Step(20, [GOOD], {}, ["late"])],
            "objectives: 10 users. The run ended at 20 users: late.",
        ),
        ([Step(10, [GOOD], {}, [])], "objectives: 10 users. The load was not raised further"),
        ([Step(10, [BAD], {}, [])], "No load met them: 10 users: GET / p99_ms 150.0, limit 100."),
    ],
)
def test_breakpoint_reports_the_highest_load_that_met_the_objectives(steps, sentence):
    assert sentence in outcome(steps=steps).highest


def test_json_has_every_figure(tmp_path):
    report.write(outcome([GOOD, BAD], ["lost"]), tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["exit_code"], found["invalid"]) == (2, ["lost"])
    assert [each["met"] for each in found["objectives"]] == [True, False]
    assert found["routes"]["GET /"]["times"] == {"50": 3, "150": 1}


def test_json_has_each_step_of_a_breakpoint(tmp_path):
    report.write(outcome(steps=[Step(10, [GOOD], {"cpu_percent": 7}, []), Step(20, [BAD], {}, ["late"])]), tmp_path)
    first, second = json.loads((tmp_path / "report.json").read_text())["steps"]
    assert (first["users"], first["met"], first["generator"]) == (10, True, {"cpu_percent": 7})
    assert (second["users"], second["met"], second["invalid"]) == (20, False, ["late"])
    assert [each["met"] for each in second["rows"]] == [False]


def test_page_escapes_text_and_loads_nothing(tmp_path):
    report.write(outcome([GOOD, BAD]), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "a &lt;note&gt;" in page
    assert "came &lt;500&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("at http://site", "")  # nothing is loaded from anywhere
