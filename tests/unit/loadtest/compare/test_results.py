"""Ratios, confidence intervals and verdicts."""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import permutations, product
from math import inf
from pathlib import Path

import pytest

from loadtest.compare import report
from loadtest.compare.report import INTERVAL, Comparison
from loadtest.compare.results import Metric, Result, left_out

SPEED, TIME = Metric("speed", "/s", more_is_better=True), Metric("time", "ms")
# Three rounds of A B B A, of a machine that is not the same all the time.
STEADY = [100, 110, 105, 100, 98, 101]
TWICE = [200, 220, 210, 200, 205, 199]


def test_difference_beyond_the_noise_has_a_verdict():
    assert Result(SPEED, {"A": STEADY, "B": TWICE}).verdict == "B"
    assert Result(TIME, {"A": STEADY, "B": TWICE}).verdict == "A"
    assert Result(SPEED, {"A": TWICE, "B": STEADY}).verdict == "A"


def test_difference_within_the_noise_is_none():
    assert Result(SPEED, {"A": STEADY, "B": [99, 109, 107, 104, 99, 100]}).verdict == "no difference"


def test_machine_that_slows_from_round_to_round_changes_no_ratio():
    result = Result(SPEED, {"A": [100, 100, 50, 50, 20, 20], "B": [200, 200, 100, 100, 40, 40]})
    assert (result.ratio, result.verdict) == (pytest.approx(2), "B")
    assert result.interval == (pytest.approx(2), pytest.approx(2))


def test_machine_that_slows_within_a_round_slows_both_variants():
    # A, B, B, A at 1, 0.9, 0.8, 0.7 of its speed.
    result = Result(SPEED, {"A": [100, 70] * 5, "B": [180, 160] * 5})
    assert (result.ratio, result.verdict) == (pytest.approx(2, rel=0.03), "B")


def test_less_than_one_percent_is_no_difference():
    assert Result(TIME, {"A": [405.1] * 6, "B": [405.0] * 6}).verdict == "no difference"
    assert Result(TIME, {"A": [410] * 6, "B": [405] * 6}).verdict == "B"


def test_two_rounds_are_too_few():
    result = Result(SPEED, {"A": [100] * 4, "B": [900] * 4})
    assert (result.interval, result.verdict) == (None, "too few rounds")


def test_missing_measurements_have_a_verdict():
    assert Result(SPEED, {"A": STEADY, "B": [None] * 6}).verdict == "not measured"


def test_missing_measurement_leaves_out_its_round_only():
    # Each round is four times as fast: comparing different rounds would not find a ratio of 2.
    a, b = [1, 1, 4, 4, 16, 16, 64, 64], [2, 2, 8, 8, None, 32, 128, 128]
    result = Result(SPEED, {"A": a, "B": b})
    assert (result.ratio, result.interval) == (pytest.approx(2), (pytest.approx(2), pytest.approx(2)))
    assert Result(SPEED, {"A": a[:6], "B": b[:6]}).verdict == "too few rounds"
    assert report.cell(result, "B") == "8 (2 to 128), 7 of 8 measured"


def test_failed_request_is_slower_than_any():
    result = Result(TIME, {"A": [inf] * 6, "B": STEADY})
    assert (result.ratio, result.verdict, report.cell(result, "A")) == (0, "B", "failed")
    assert Result(TIME, {"A": [5, 5, 5, 5, 5, inf], "B": [50] * 6}).ratio == pytest.approx(10)
    assert Result(TIME, {"A": [inf] * 6, "B": [inf] * 6}).verdict == "no difference"
    assert Result(TIME, {"A": [1, inf] * 3, "B": [1, inf] * 3}).verdict == "no difference"


@pytest.mark.parametrize("rounds", range(3, 7))
def test_interval_is_the_narrowest_with_99_percent(rounds):
    # For equal variants, every order of a round's four measurements is equally likely.
    orders = Counter(sum(b > a for a in order[:2] for b in order[2:]) for order in permutations(range(4)))
    above = Counter({0: 1})
    for _ in range(rounds):
        totals = Counter()
        for (so_far, ways), (more, times) in product(above.items(), orders.items()):
            totals[so_far + more] += ways * times
        above = totals

    def wrong(out):
        return 2 * sum(ways for total, ways in above.items() if total <= out) / 24**rounds

    assert wrong(left_out(rounds)) <= 0.01 < wrong(left_out(rounds) + 1)


def test_difference_of_half_is_found_despite_one_outlier():
    draw = random.Random(7).gauss  # noqa: S311 (no secret)
    a, b = ([speed * 2 ** draw(0, 0.05) for _ in range(10)] for speed in (100, 150))
    for side, at in product((a, b), range(10)):
        before, side[at] = side[at], side[at] / 20
        result = Result(SPEED, {"A": a, "B": b})
        assert (result.ratio, result.verdict) == (pytest.approx(1.5, rel=0.05), "B")
        side[at] = before


@pytest.mark.parametrize("rounds", [3, 4, 5, 8])
def test_equal_variants_seldom_seem_to_differ(rounds):
    random_ = random.Random(7)  # noqa: S311 (no secret)

    def side():
        wrong = (random_.random() < 0.1 for _ in range(2 * rounds))
        return [2 ** random_.gauss(0, 0.1) * (20 if each else 1) for each in wrong]

    verdicts = [Result(SPEED, {"A": side(), "B": side()}).verdict for _ in range(2000)]
    assert verdicts.count("no difference") >= 1970


@pytest.fixture
def comparison():
    columns = {"A": STEADY, "B": TWICE, "A bare": [150] * 6, "B bare": [None] * 6}
    return Comparison(
        names={"A": "gunicorn", "B": "<uwsgi>", "A bare": "gunicorn, bare", "B bare": "<uwsgi>, bare"},
        facts=["Measured on a machine."],
        results=[Result(SPEED, columns), Result(TIME, {"A": STEADY, "B": STEADY, "A bare": [], "B bare": []})],
        counts={"A bare": (0, 30), "A": (1, 2000), "B": (0, 20), "B bare": (0, 40)},
        behaviour={side: {"failures": 0, "requests": 7, "verdict": "INVALID: this run"} for side in ("A", "B")},
    )


def test_table_has_medians_spread_ratio_interval_and_verdict(comparison):
    head, speed, time, counts, behaviour = report.rows(comparison)
    assert head[1:] == ["gunicorn", "<uwsgi>", "ratio", INTERVAL, "better", "gunicorn, bare", "<uwsgi>, bare"]
    sides = ["100 (98 to 110)", "202 (199 to 220)"]
    assert speed == ["speed, /s", *sides, "2.00", "1.82 to 2.20", "<uwsgi>", "150", "not measured"]
    assert time[3:6] == ["1.00", "0.91 to 1.10", "no difference"]
    assert counts == ["failed requests in all", "1 of 2,000", "0 of 20", "", "", "", "0 of 30", "0 of 40"]
    assert behaviour[:3] == ["locust: failed requests, verdict", "0 of 7, INVALID", "0 of 7, INVALID"]


def test_report_is_a_table_to_paste_and_all_figures(comparison, tmp_path):
    report.write(comparison, tmp_path)
    assert (tmp_path / "compare.md").read_text().startswith("|  | gunicorn | <uwsgi> | ratio |")
    assert json.loads((tmp_path / "compare.json").read_text())["results"][0]["verdict"] == "B"


def test_failed_and_missing_measurements_are_in_every_output(comparison, tmp_path):
    never = Result(TIME, {"A": STEADY, "B": [inf] * 5 + [None], "A bare": [], "B bare": []})
    report.write(replace(comparison, results=[never]), tmp_path)
    assert (
        "| time, ms | 100 (98 to 110) | failed, 5 of 6 measured | ∞ | - | too few rounds |  |  |"
        in (tmp_path / "compare.md").read_text()
    )
    [result] = json.loads((tmp_path / "compare.json").read_text(), parse_constant=pytest.fail)["results"]
    assert result["values"]["B"] == ["infinite"] * 5 + [None]


def test_docs_option_replaces_the_table_between_the_marks(comparison, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    for _ in range(2):
        report.paste(comparison, page)
        assert page.read_text() == f"before\n{report.BEGIN}{report.markdown(comparison)}{report.END}after\n"


def test_docs_page_has_the_marks():
    page = (Path(report.__file__).parents[2] / "docs" / "load-testing.md").read_text()
    _, begin, rest = page.partition(report.BEGIN)
    assert begin
    assert report.END in rest
