"""The result of a comparison: a table for the terminal, the same in Markdown, and all figures in JSON."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from loadtest.compare.results import Result
from loadtest.text import figure, padded

INTERVAL = "99 % interval"
BEGIN, END = "<!-- make compare DOCS=1 writes what follows -->\n", "<!-- end of what make compare DOCS=1 writes -->\n"


@dataclass(frozen=True)
class Comparison:
    """The variants, the conditions and the results."""

    names: dict[str, str]  # of the columns
    facts: list[str]
    results: list[Result]
    counts: dict[str, tuple[int, int]]  # failed requests and all requests, by column
    behaviour: dict[str, dict[str, Any]]  # the figures of locust, by variant


def rows(comparison: Comparison) -> list[list[str]]:
    """Return the cells of the table, with its header."""
    columns = list(comparison.names)
    names = [comparison.names[column] for column in columns]
    table = [["", *names[:2], "ratio", INTERVAL, "better", *names[2:]]]
    for result in comparison.results:
        cells = [cell(result, column) for column in columns]
        ratio, interval = "-" if result.ratio is None else times(result.ratio), "-"
        if result.interval:
            interval = " to ".join(map(times, result.interval))
        if not result.metric.is_judged:
            ratio = interval = ""
        better = comparison.names.get(result.verdict, result.verdict)
        table.append([f"{result.metric.name}, {result.metric.unit}", *cells[:2], ratio, interval, better, *cells[2:]])
    failed = ["{:,} of {:,}".format(*comparison.counts[column]) for column in columns]
    table.append(["failed requests in all", *failed[:2], "", "", "", *failed[2:]])
    behaviour = [comparison.behaviour.get(column, {}) for column in columns[:2]]
    if all(behaviour):
        found = [f"{each['failures']} of {each['requests']}, {each['verdict'].partition(':')[0]}" for each in behaviour]
        table.append(["locust: failed requests, verdict", *found, "", "", "", *("" for _ in columns[2:])])
    return table


def times(ratio: float) -> str:
    """Return the ratio with two decimals."""
    return f"{ratio:.2f}" if isfinite(ratio) else "∞"


def cell(result: Result, column: str) -> str:
    """Return the median, the lowest and the highest figure, and the number of measurements if some are missing."""
    wanted, values, middle = len(result.values[column]), result.measured(column), result.middle(column)
    if middle is None:
        return "not measured" if wanted else ""
    low, high = min(values), max(values)
    text = word(middle) if low == high else f"{word(middle)} ({word(low)} to {word(high)})"
    return text if len(values) == wanted else f"{text}, {len(values)} of {wanted} measured"


def word(value: float) -> str:
    """Return the figure; an infinite one means that the requests failed."""
    return figure(value) if isfinite(value) else "failed"


def finite(value: float | None) -> float | str | None:
    """Return the figure for JSON, which has no infinity."""
    return value if value is None or isfinite(value) else "infinite"


def text(comparison: Comparison) -> str:
    """Return the table for a terminal."""
    return "\n".join(padded(rows(comparison)))


def markdown(comparison: Comparison) -> str:
    """Return the table in Markdown, and the conditions below it."""
    head, *lines = rows(comparison)
    rule = ["---", *("---:" for _ in head[1:])]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
    return f"{table}\n\n{' '.join(comparison.facts)}\n"


def write(comparison: Comparison, folder: Path) -> None:
    """Write compare.md and compare.json into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = vars(comparison) | {
        "results": [
            {
                **vars(each.metric),
                "values": {column: [*map(finite, values)] for column, values in each.values.items()},
                "ratio": finite(each.ratio),
                "interval": [*map(finite, each.interval or ())],
                "verdict": each.verdict,
            }
            for each in comparison.results
        ],
    }
    (folder / "compare.md").write_text(markdown(comparison))
    (folder / "compare.json").write_text(json.dumps(everything, indent=1))


def paste(comparison: Comparison, page: Path) -> None:
    """Replace the table between the two marks in the page."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}{markdown(comparison)}{END}{tail}")
