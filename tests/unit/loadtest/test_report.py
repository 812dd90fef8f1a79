"""The verdict of a run, and its report."""

import json
from collections import Counter

import pytest

from loadtest import report, terminal
from loadtest.errors import in_words
from loadtest.objectives import Objective, Recorded, Route, Row
from loadtest.outcome import Outcome, Step
from loadtest.previous import Previous

GOOD = Row(Objective("GET /", "p95_ms", 100), 50)
BAD = Row(Objective("GET /", "p99_ms", 100), 150)
SLOW = Row(Objective("total", "requests_per_second", 10), 9)
SILENT = Row(Objective("GET /stream", "p95_ms", 100), None, 4)


def outcome(rows=(), invalid=(), steps=(), users=3):
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
            "machine": "2 cores (a processor) with 4 GB",
            "commit": "abc1234",
        },
        settings={"shape": "smoke", "users": users},
        notes=["a <note>"],
        invalid=[*invalid],
        rows=[*rows],
        steps=[*steps],
        generator_rows=[Row(Objective("generator", "cpu_percent", 90), 7)],
        recorded=Recorded(10, {"GET /": Route(4, 1, Counter({50: 3, 150: 1}))}),
        errors=[
            {"occurrences": 1, "method": "GET", "name": "/", "error": "CatchResponseError('expected 200; came <500>')"}
        ],
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
    assert terminal.lines(ended, tmp_path)[-1].startswith("load: " + ["passed", "FAILED", "INVALID"][code])


def test_terminal_shows_each_route_and_each_missed_objective(tmp_path):
    baseline = Row(Objective("GET /", "p95_ms", 40, "baseline"), 50)
    lines = terminal.lines(outcome([GOOD, BAD, SLOW, SILENT, baseline]), tmp_path)
    lines = [" ".join(line.split()) for line in lines]
    assert "GET / 4 1 50 150 150 MISSED" in lines
    assert "GET /stream 0 0 - - - too few" in lines
    assert "missed: GET / p99_ms 150, limit 100" in lines
    assert "missed: GET / p95_ms 50, baseline 40" in lines
    assert "missed: total requests_per_second 9, limit 10" in lines
    assert "failed: GET /, 1 times: expected 200; came <500>" in lines


def test_terminal_needs_100_columns_and_ends_with_the_verdict(tmp_path):
    long = Row(Objective("GET /" + "long/" * 30, "p95_ms", 100), 150)
    lines = terminal.lines(outcome([GOOD, long], ["a worker was lost " * 10]), tmp_path)
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith("load: INVALID")


def test_verdict_counts_the_objectives_that_were_not_measured(tmp_path):
    assert outcome([GOOD]).verdict == "passed: 1 of 1 objectives met"
    assert outcome([GOOD, SILENT]).verdict == "passed: 1 of 2 objectives met, 1 not measured"
    assert outcome([BAD, GOOD, SILENT]).verdict == "FAILED: 1 of 3 objectives missed, 1 not measured"
    few = "load: not measured, too few responses: GET /stream (4): set a longer RUN_TIME"
    assert few in terminal.lines(outcome([GOOD, SILENT]), tmp_path)


def test_every_result_names_what_was_measured(tmp_path):
    sentence = (
        "Measured: backend uwsgi, release 7, 2 workers of 4 threads, at http://site, "
        "from 2026-01-02 03:04:05 UTC for 20 s."
    )
    assert sentence in " ".join(" ".join(terminal.lines(outcome([GOOD]), tmp_path)).split())
    report.write(outcome([GOOD]), tmp_path)
    page = (tmp_path / "index.html").read_text()
    for value in ("uwsgi", "http://site", "2026-01-02 03:04:05 UTC", "20.1", "2 cores (a processor)", "abc1234"):
        assert value in page
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
        ([Step(10, [BAD], {}, [])], "No load met them: 10 users: GET / p99_ms 150, limit 100."),
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
    assert "http" not in page.replace("of http://site", "")  # nothing is loaded from anywhere


def test_page_has_the_verdict_in_one_sentence(tmp_path):
    report.write(outcome([GOOD]), tmp_path)
    sentence = (
        "passed: 1 of 1 objectives met. 0.4 requests per second, 95 % of the responses within 150 ms, 1 of 4 failed."
    )
    assert sentence in (tmp_path / "index.html").read_text()
    assert outcome([GOOD], ["a worker was lost"]).sentence.endswith("because a worker was lost.")


def test_page_shows_the_previous_run_beside_this_one(tmp_path):
    report.write(outcome([BAD], users=9), tmp_path)
    assert "Previous run" not in (tmp_path / "index.html").read_text()
    report.write(outcome([GOOD]), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "FAILED: 1 of 1 objectives missed" in page
    assert "The previous run had other settings: users." in page


@pytest.mark.parametrize("text", ["", "[]", '{"routes": {"GET /": 1}}'])
def test_report_of_another_version_is_no_previous_run(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    assert Previous.read(tmp_path / "report.json") is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("CatchResponseError('expected 200; got 500')", "expected 200; got 500"),
        ("LocustBadStatusCode(code=404)", "status 404"),
        ("HTTPError('503 Server Error: Service Unavailable for url: /')", "503 Service Unavailable"),
        ("ConnectionRefusedError(111, 'Connection refused')", "the site refused the connection"),
        ("RemoteDisconnected('...')", "the site closed the connection"),
        ("timeout('timed out')", "no complete response in time"),
        ("KeyError('no such name')", "KeyError('no such name')"),
    ],
)
def test_errors_are_in_words(error, words):
    assert in_words({"error": error}) == words
