"""The report of a run: index.html beside the figures of the previous run, and report.json with every figure."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest import baseline
from loadtest.objectives import AT_LEAST, PERCENTILES, SERVED, Row
from loadtest.outcome import Outcome
from loadtest.previous import Previous
from loadtest.text import figure

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def table(rows: list[Row]) -> Iterator[tuple[str, list[Row | None]]]:
    """Yield each subject of the objectives and its rows in the order of SERVED, with None for a metric without one."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        origin = "" if row.objective.origin == "objective" else f", {row.objective.origin}"
        found.setdefault(f"{row.objective.subject}{origin}", {})[row.objective.metric] = row
    for subject, metrics in sorted(found.items()):
        yield subject, [metrics.get(metric) for metric in SERVED]


def write(outcome: Outcome, folder: Path) -> None:
    """Write report.json and index.html into the folder, beside the figures of the run before."""
    folder.mkdir(parents=True, exist_ok=True)
    page = templates.get_template("report.html").render(
        outcome=outcome,
        objectives=[*table(outcome.rows)],
        previous=Previous.read(folder / "report.json"),
        longest=max((route.percentile(0.95) or 0 for route in outcome.routes.values()), default=0) or 1,
        figure=figure,
        at_least=AT_LEAST,
        percentiles=PERCENTILES,
        served=SERVED,
    )
    (folder / "report.json").write_text(json.dumps(everything(outcome), indent=1))
    (folder / "index.html").write_text(page)


def everything(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for JSON."""
    return {
        "exit_code": outcome.exit_code,
        "verdict": outcome.verdict,
        "measured": outcome.measured,
        "not_measured": [f"{row.objective.subject} {row.objective.metric}" for row in outcome.not_measured],
        "invalid": outcome.invalid,
        "notes": outcome.notes,
        "highest": outcome.highest,
        "settings": outcome.settings,
        "generator": {row.objective.metric: row.measured for row in outcome.generator_rows},
        "objectives": results(outcome.rows),
        "steps": [vars(step) | {"rows": results(step.rows), "met": step.is_met} for step in outcome.steps],
        "figures": [
            {"subject": subject, "metric": metric, "value": value}
            for (subject, metric), value in baseline.figures(outcome.recorded).items()
        ],
        "routes": {name: vars(route) for name, route in outcome.recorded.routes.items()},
        "errors": outcome.errors,
    }


def results(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows for JSON."""
    return [{**vars(row.objective), "measured": row.measured, "met": row.met} for row in rows]
