"""The charts: every point is drawn, within the drawing, and what is not ours is quoted."""

import re
from xml.etree import ElementTree as ET

import pytest

from loadtest.charts import HEIGHT, WIDTH, dots, lines, picture, scale


def test_a_line_goes_through_every_point_within_the_drawing():
    drawing = ET.fromstring(lines({"<b>": [(0, 0), (5, 70), (10, 35)], "none": []}, "s"))  # noqa: S314 (our own)
    [first, _] = drawing.findall("polyline")
    points = [tuple(map(float, point.split(","))) for point in first.get("points").split()]
    assert len(points) == 3
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[1][1] < points[2][1] < points[0][1]  # up is less
    assert "<b>" in [text.text for text in drawing.findall("text")]


def test_every_measurement_is_a_dot_and_the_bar_ends_at_their_median():
    drawing = ET.fromstring(dots({"a": [1, 2, 9], "b": [4]}))  # noqa: S314
    bars, circles = drawing.findall("rect"), drawing.findall("circle")
    assert len(circles) == 4
    assert float(bars[0].get("x")) + float(bars[0].get("width")) == pytest.approx(float(circles[1].get("cx")), abs=0.2)
    assert [text.text for text in drawing.findall("text")] == ["a", "2", "b", "4"]


@pytest.mark.parametrize("most", [0, 0.003, 0.7, 1, 4.9, 5, 5.1, 99, 1234])
def test_a_scale_has_few_round_numbers_and_holds_the_highest(most):
    ticks = scale(most)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] == 0
    assert ticks[-1] >= most
    assert all(re.fullmatch(r"[\d.e-]+", f"{tick:g}") for tick in ticks)


def test_nothing_measured_is_still_a_drawing():
    ET.fromstring(lines({"a": []}, "s"))  # noqa: S314


def test_a_picture_holds_each_chart_below_the_one_before():
    drawing = ET.fromstring(picture({"one": dots({"a": [1]}), "two & more": dots({"b": [2], "c": [3]})}))  # noqa: S314
    inner = drawing.findall("{*}svg")
    assert [len(each.findall("{*}rect")) for each in inner] == [1, 2]
    assert float(inner[1].get("y")) >= float(inner[0].get("y")) + float(inner[0].get("height"))
    assert [text.text for text in drawing.findall("{*}text")] == ["one", "two & more"]
