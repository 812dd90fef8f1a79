"""The result of a run on a terminal: at most 100 columns, the verdict in the last line."""

from pathlib import Path
from textwrap import wrap

from loadtest.objectives import PERCENTILES, TOTAL, Route
from loadtest.outcome import Outcome
from loadtest.text import figure, padded

WIDTH = 100
NAME = 36  # characters of a route's name
HEAD = ["route", "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "objectives"]


def lines(outcome: Outcome, folder: Path) -> list[str]:
    """Return the lines: each route with its figures, the failures, the notes and the verdict."""
    rows = [HEAD, *(cells(name, route, outcome.result(name)) for name, route in outcome.routes.items())]
    sentences = [
        *(f"missed: {row}" for row in outcome.missed),
        *(f"failed: {each}" for each in outcome.failures),
        *outcome.notes,
        outcome.highest,
        f"The generator: {'; '.join(outcome.generator)}.",
        outcome.site,
        *(f"load: {reason}" for reason in outcome.reasons),
    ]
    wrapped = [line for each in sentences if each for line in wrap(each, WIDTH, subsequent_indent="  ")]
    report = f"The report: {folder / 'index.html'}"
    return ["", *padded(rows), "", *wrapped, report, f"load: {outcome.verdict}"]


def cells(name: str, route: Route, result: str) -> list[str]:
    """Return a route's cells; the middle of a long name is left out."""
    short = name if len(name) <= NAME else f"{name[:22]}...{name[25 - NAME :]}"
    times = [route.percentile(share) for share in PERCENTILES.values()]
    shown = ["-" if time is None else figure(time) for time in times]
    return [f"{short:<{len(TOTAL)}}", f"{route.requests:,}", f"{route.failures:,}", *shown, result]
