"""What a comparison leaves: a table for the terminal, the same in Markdown to paste, a page and a picture."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from loadtest import page
from loadtest.charts import dots, picture, short
from loadtest.compare.results import Result

SURE = "99 % sure to be"  # within what the ratio is: the head of that column
PICTURED = 4  # of the results: throughput, and latency at the rates below


@dataclass(frozen=True)
class Comparison:
    """What was compared, where, and what came of it."""

    names: dict[str, str]  # of the columns
    facts: list[str]
    results: list[Result]
    counts: dict[str, tuple[int, int]]  # of each column, how many of how many requests failed
    behaviour: dict[str, dict[str, Any]]  # of each side, what locust found


def rows(comparison: Comparison) -> list[list[str]]:
    """Return the cells of the table, its head first."""
    columns = list(comparison.names)
    head = ["", *(comparison.names[column] for column in columns[:2]), "ratio", SURE, "better"]
    head += [comparison.names[column] for column in columns[2:]]
    lines = [head]
    for result in comparison.results:
        cells = [cell(result, column) for column in columns]
        ratio = times(result.ratio) if result.ratio is not None else "-"
        sure = " to ".join(map(times, result.interval or ())) or "-"
        if not result.metric.is_judged:
            ratio = sure = ""
        better = comparison.names.get(result.verdict, result.verdict)
        lines.append([f"{result.metric.name}, {result.metric.unit}", *cells[:2], ratio, sure, better, *cells[2:]])
    failed = ["{:,} of {:,}".format(*comparison.counts[column]) for column in columns]
    lines.append(["failed requests in all", *failed[:2], "", "", "", *failed[2:]])
    sides = [comparison.behaviour.get(column, {}) for column in columns[:2]]
    if all(sides):
        told = [f"{each['failures']} of {each['requests']}, {each['verdict'].partition(':')[0]}" for each in sides]
        lines.append(["locust: failed requests, verdict", *told, "", "", "", *("" for _ in columns[2:])])
    return lines


def times(ratio: float) -> str:
    """Return the ratio with two digits after its point."""
    return f"{ratio:.2f}" if isfinite(ratio) else "∞"


def cell(result: Result, column: str) -> str:
    """Return the median and the spread of a column, and how many measurements that is of, where some are missing."""
    wanted, values, middle = len(result.values[column]), result.measured(column), result.middle(column)
    if middle is None:
        return "not measured" if wanted else ""
    low, high = min(values), max(values)
    figure = word(middle) if low == high else f"{word(middle)} ({word(low)} to {word(high)})"
    return figure if len(values) == wanted else f"{figure}, {len(values)} of {wanted} measured"


def finite(result: Result, column: str) -> list[float]:
    """Return the measurements that can be drawn."""
    return [value for value in result.measured(column) if isfinite(value)]


def plain(value: float | None) -> float | str | None:
    """Return the figure as JSON can have it, which knows no infinity."""
    return value if value is None or isfinite(value) else "infinite"


def word(value: float) -> str:
    """Return the figure, or what it means that there is no end to it."""
    return short(value) if isfinite(value) else "failed"


def text(comparison: Comparison) -> str:
    """Return the table for a terminal."""
    lines = rows(comparison)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{size}}" for cell, size in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(comparison: Comparison) -> str:
    """Return the table in Markdown, with what it was measured with below."""
    head, *lines = rows(comparison)
    rule = ["---", *("---:" for _ in head[1:])]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
    return f"{table}\n\n{' '.join(comparison.facts)}\n"


def write(comparison: Comparison, folder: Path) -> None:
    """Leave compare.html, compare.md, compare.svg and compare.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        f"{result.metric.name}, {result.metric.unit}": dots(drawn)
        for result in comparison.results
        if (drawn := {name: values for column, name in comparison.names.items() if (values := finite(result, column))})
    }
    first = dict(list(charts.items())[:PICTURED])
    everything = {
        "names": comparison.names,
        "facts": comparison.facts,
        "results": [
            {
                **vars(each.metric),
                "values": {column: [*map(plain, values)] for column, values in each.values.items()},
                "ratio": plain(each.ratio),
                "interval": [*map(plain, each.interval or ())],
                "verdict": each.verdict,
            }
            for each in comparison.results
        ],
        "counts": comparison.counts,
        "behaviour": comparison.behaviour,
    }
    title = f"{comparison.names['A']} against {comparison.names['B']}"
    html = page.render(
        "compare.html",
        title=title,
        comparison=comparison,
        table=rows(comparison),
        charts=charts,
        markdown=markdown(comparison),
    )
    (folder / "compare.html").write_text(html)
    (folder / "compare.md").write_text(markdown(comparison))
    (folder / "compare.svg").write_text(picture(first))
    (folder / "compare.json").write_text(json.dumps(everything, indent=1))


def paste(comparison: Comparison, readme: Path) -> None:
    """Put the table and the picture between their two marks in the README."""
    begin, end = "<!-- make compare README=1 writes what follows -->\n", "<!-- as far as here -->\n"
    head, _, rest = readme.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    picture_of_it = "![The first of these figures as bars](loadtest/compare.svg)"
    readme.write_text(f"{head}{begin}{markdown(comparison)}\n{picture_of_it}\n{end}{tail}")
