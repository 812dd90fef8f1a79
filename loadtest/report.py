"""The result of a run: the verdict on the terminal, index.html, and report.json with every figure."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest import baseline
from loadtest.objectives import AT_LEAST, SERVED, Recorded, Row
from loadtest.text import figure, padded

PASSED, FAILED, INVALID = 0, 1, 2
INVALID_VERDICT = "INVALID: this run does not measure the server"
MET, MISSED = "met", "MISSED"

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Step:
    """One step of a breakpoint."""

    users: int
    rows: list[Row]
    generator: dict[str, float]
    invalid: list[str]

    @property
    def is_met(self) -> bool:
        """Return whether the step is valid and misses no objective."""
        return not self.invalid and all(row.met is not False for row in self.rows)

    def __str__(self) -> str:
        missed = [str(row) for row in self.rows if row.met is False]
        return f"{self.users} users: " + (", ".join(self.invalid or missed) or "every objective was met")


@dataclass(frozen=True)
class Outcome:
    """The result of a run."""

    measured: dict[str, Any]  # the site, when, and for how long
    settings: baseline.Settings
    notes: list[str]
    invalid: list[str]
    rows: list[Row]
    steps: list[Step]
    generator: dict[str, float]
    recorded: Recorded
    errors: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        """Return 0, 1 if an objective was missed, or 2 if the run is invalid."""
        if self.invalid or (self.rows and len(self.not_measured) == len(self.rows)):
            return INVALID
        return FAILED if any(row.met is False for row in self.rows) else PASSED

    @property
    def not_measured(self) -> list[Row]:
        """Return the objectives that had too few responses."""
        return [row for row in self.rows if row.met is None]

    @property
    def verdict(self) -> str:
        """Return the verdict, with the number of objectives that were met or missed, and not measured."""
        if self.exit_code == INVALID:
            return INVALID_VERDICT
        results = [row.met for row in self.rows]
        word, count = ("FAILED", results.count(False)) if self.exit_code else ("passed", results.count(True))
        verdict = f"{word}: {count} of {len(results)} objectives {'missed' if self.exit_code else 'met'}"
        return f"{verdict}, {len(self.not_measured)} not measured" if self.not_measured else verdict

    @property
    def reasons(self) -> list[str]:
        """Return why the run is invalid, and which objectives were not measured."""
        responses = {row.objective.subject: row.requests for row in self.not_measured}
        routes = ", ".join(f"{subject} ({count})" for subject, count in sorted(responses.items()))
        few = [f"not measured, too few responses: {routes}: set a longer RUN_TIME"] if routes else []
        return self.invalid + few

    @property
    def site(self) -> str:
        """Return what was measured, where, when, and for how long."""
        about = self.measured
        size = f"{about['workers']} workers of {about['threads']} threads"
        when = f"from {about['started']} for {about['seconds']:.0f} s"
        return f"Measured: backend {about['backend']}, release {about['release']}, {size}, at {about['host']}, {when}."

    @property
    def highest(self) -> str:
        """Return the highest load that met the objectives; empty unless the run is a breakpoint."""
        if not self.steps:
            return ""
        met = [step.users for step in self.steps if step.is_met]
        last = self.steps[-1]
        end = "The load was not raised further: raise USERS" if last.is_met else f"The run ended at {last}"
        return (
            f"The highest load that met the objectives: {met[-1]} users. {end}."
            if met
            else f"No load met them: {last}."
        )


def table(rows: list[Row]) -> list[list[str]]:
    """Return the table of objectives: a header, and a row for each subject."""
    metrics = [metric for metric in SERVED if any(row.objective.metric == metric for row in rows)]
    subjects: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        subjects.setdefault((row.objective.origin, row.objective.subject), {})[row.objective.metric] = row
    cells = [["", *(metric.replace("_", " ") for metric in metrics), ""]]
    for (origin, subject), found in sorted(subjects.items(), key=lambda each: (each[0][0] == "baseline", each[0][1])):
        results = {row.met for row in found.values()}
        few = f"not measured: too few responses ({next(iter(found.values())).requests})"
        result = MISSED if False in results else few if None in results else MET
        name = f"{subject}, baseline" if origin == "baseline" else subject
        cells.append([name, *(cell(found.get(metric)) for metric in metrics), result])
    return cells


def cell(row: Row | None) -> str:
    """Return the figure and its limit, "12.3 <= 500"; "-" if it was not measured."""
    if not row or row.measured is None:
        return "-" if row else ""
    met, missed = (">=", "<") if row.objective.metric in AT_LEAST else ("<=", ">")
    return f"{figure(row.measured)} {met if row.met else missed} {figure(row.objective.limit)}"


def verdict(outcome: Outcome, folder: Path) -> list[str]:
    """Return the last lines of a run: the table of objectives, the notes and the verdict."""
    return [
        "",
        *padded(table(outcome.rows)),
        "",
        *outcome.notes,
        *([outcome.highest] if outcome.highest else []),
        f"The generator: {', '.join(f'{name} {value:.0f}' for name, value in outcome.generator.items())}.",
        outcome.site,
        f"The report: {folder / 'index.html'}",
        *(f"load: {reason}" for reason in outcome.reasons),
        f"load: {outcome.verdict}",
    ]


def write(outcome: Outcome, folder: Path) -> None:
    """Write report.json and index.html into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(everything(outcome), indent=1))
    page = templates.get_template("report.html")
    (folder / "index.html").write_text(page.render(outcome=outcome, table=table(outcome.rows)))


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
        "generator": outcome.generator,
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
