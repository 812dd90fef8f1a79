"""What measurements say: ratio, noise, and whether a difference is one."""

import json
import random
from pathlib import Path

import pytest

from loadtest.compare import output
from loadtest.compare.output import Comparison
from loadtest.compare.results import Metric, Result

SPEED, TIME = Metric("speed", "/s", more_is_better=True), Metric("time", "ms")
# Two rounds of A B B A; a side differs from itself by 10 % at most.
STEADY = [100, 110, 105, 100]


def test_a_difference_beyond_the_noise_is_one_and_which_way_is_better_is_the_metrics():
    twice = [200, 220, 210, 200]
    assert Result(SPEED, {"A": STEADY, "B": twice}).verdict == "B"
    assert Result(TIME, {"A": STEADY, "B": twice}).verdict == "A"
    assert Result(SPEED, {"A": twice, "B": STEADY}).verdict == "A"


def test_a_difference_within_the_noise_is_none():
    assert Result(SPEED, {"A": STEADY, "B": [108, 109, 107, 108]}).verdict == "no difference"


def test_the_noise_is_the_most_that_a_side_differed_from_itself_in_a_round():
    result = Result(SPEED, {"A": [100, 100, 100, 100], "B": [100, 125, 400, 400]})
    assert result.noise == pytest.approx(1.25)


def test_a_machine_that_becomes_slower_from_round_to_round_makes_no_difference():
    result = Result(SPEED, {"A": [100, 100, 50, 50], "B": [200, 200, 100, 100]})
    assert (result.ratio, result.noise, result.verdict) == (pytest.approx(2), pytest.approx(1), "B")


def test_less_than_one_in_a_hundred_is_no_difference_however_exact():
    assert Result(TIME, {"A": [405.1] * 4, "B": [405.0] * 4}).verdict == "no difference"
    assert Result(TIME, {"A": [410] * 4, "B": [405] * 4}).verdict == "B"


def test_one_round_decides_nothing():
    assert Result(SPEED, {"A": [100, 100], "B": [900, 900]}).verdict == "too few rounds"


def test_what_was_not_measured_is_said():
    assert Result(SPEED, {"A": STEADY, "B": []}).verdict == "not measured"


def test_two_equal_sides_seldom_seem_to_differ():
    draw = random.Random(7).gauss  # noqa: S311 (no secret)

    def four_rounds():
        return [2 ** draw(0, 0.1) for _ in range(8)]

    verdicts = [Result(SPEED, {"A": four_rounds(), "B": four_rounds()}).verdict for _ in range(2000)]
    assert verdicts.count("no difference") >= 1960


@pytest.fixture
def comparison():
    columns = {"A": STEADY, "B": [200, 220, 210, 200], "A bare": [150, 150, 150, 150], "B bare": []}
    return Comparison(
        names={"A": "gunicorn", "B": "<uwsgi>", "A bare": "gunicorn, bare", "B bare": "<uwsgi>, bare"},
        facts=["Measured on a machine."],
        results=[Result(SPEED, columns), Result(TIME, {"A": STEADY, "B": STEADY, "A bare": [], "B bare": []})],
        behaviour={side: {"failures": 0, "requests": 7} for side in ("A", "B")},
    )


def test_the_table_has_medians_spread_ratio_noise_and_verdict(comparison):
    head, speed, time, behaviour = output.rows(comparison)
    assert head[1:] == ["gunicorn", "<uwsgi>", "ratio", "noise", "better", "gunicorn, bare", "<uwsgi>, bare"]
    assert speed == ["speed, /s", "102 (100 to 110)", "205 (200 to 220)", "2.00", "± 10 %", "<uwsgi>", "150", ""]
    assert time[3:6] == ["1.00", "± 10 %", "no difference"]
    assert behaviour[:3] == ["locust: failed requests", "0 of 7", "0 of 7"]


def test_it_leaves_a_page_a_picture_a_table_to_paste_and_all_figures(comparison, tmp_path):
    output.write(comparison, tmp_path)
    page = (tmp_path / "compare.html").read_text()
    assert page.count("<svg") == 2
    assert "&lt;uwsgi&gt;" in page
    assert "<uwsgi>" not in page
    assert (tmp_path / "compare.md").read_text().startswith("|  | gunicorn | <uwsgi> | ratio |")
    assert (tmp_path / "compare.svg").read_text().startswith("<svg xmlns=")
    assert json.loads((tmp_path / "compare.json").read_text())["results"][0]["verdict"] == "B"


def test_the_table_is_pasted_between_its_marks_and_replaces_the_one_before(comparison, tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- make compare README=1 writes what follows -->\n", "<!-- as far as here -->\n"
    readme.write_text(f"before\n{begin}old\n{end}after\n")
    for _ in range(2):
        output.paste(comparison, readme)
        picture = "\n![The first of these figures as bars](loadtest/compare.svg)\n"
        assert readme.read_text() == f"before\n{begin}{output.markdown(comparison)}{picture}{end}after\n"


def test_the_readme_has_the_marks():
    readme = (Path(output.__file__).parents[2] / "README.md").read_text()
    _, begin, rest = readme.partition("<!-- make compare README=1 writes what follows -->\n")
    assert begin
    assert "<!-- as far as here -->\n" in rest
