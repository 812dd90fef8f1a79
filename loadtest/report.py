"""What is left of a run: the verdict on the terminal, report.json with everything, index.html with charts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest import baseline, page
from loadtest.charts import lines
from loadtest.objectives import AT_LEAST, METRICS, Recorded, Row

PASSED, FAILED, INVALID = 0, 1, 2
WORDS = {True: "met", False: "MISSED"}
INVALID_VERDICT = "INVALID: this run does not measure the server"


@dataclass(frozen=True)
class Step:
    """One step of a breakpoint."""

    users: int
    rows: list[Row]
    generator: dict[str, float]
    invalid: list[str]

    @property
    def holds(self) -> bool:
        """Tell whether every objective held, as far as that can be told."""
        return not self.invalid and not any(row.passed is False for row in self.rows)

    def __str__(self) -> str:
        broken = [describe(row) for row in self.rows if row.passed is False]
        return f"{self.users} users: " + (", ".join(self.invalid or broken) or "every objective was met")


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
    history: list[dict[str, float]]
    errors: list[dict[str, Any]]

    @property
    def exit_code(self) -> int:
        """Return what the run is worth; one that is not valid cannot pass, and cannot fail."""
        if self.invalid or (self.rows and len(self.not_measured) == len(self.rows)):
            return INVALID
        return FAILED if any(row.passed is False for row in self.rows) else PASSED

    @property
    def not_measured(self) -> list[Row]:
        """Return the objectives that had too few responses."""
        return [row for row in self.rows if row.passed is None]

    @property
    def verdict(self) -> str:
        """Return the verdict, with the number of objectives that were met, missed and not measured."""
        if self.exit_code == INVALID:
            return INVALID_VERDICT
        results = [row.passed for row in self.rows]
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
        """Return the highest load that held, in words; nothing if this was no breakpoint."""
        if not self.steps:
            return ""
        held = [step.users for step in self.steps if step.holds]
        last = self.steps[-1]
        end = "It was not raised further: raise USERS" if last.holds else f"It ended at {last}"
        return f"The highest load that held: {held[-1]} users. {end}." if held else f"No load held: {last}."


def describe(row: Row) -> str:
    """Return the row as a phrase."""
    return f"{row.objective.subject} {row.objective.metric} {row.measured:.1f}, limit {row.objective.limit:g}"


def table(rows: list[Row]) -> list[list[str]]:
    """Return the cells of the table of objectives, a line for each subject, its head first."""
    metrics = [metric for metric in METRICS["total"] if any(row.objective.metric == metric for row in rows)]
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.objective.origin, row.objective.subject), {})[row.objective.metric] = row
    cells = [["", *(metric.replace("_", " ") for metric in metrics), ""]]
    for (origin, subject), line in sorted(lines.items(), key=lambda each: (each[0][0] == "baseline", each[0][1])):
        results = {row.passed for row in line.values()}
        few = f"not measured: too few responses ({next(iter(line.values())).requests})"
        result = WORDS[False] if False in results else few if None in results else WORDS[True]
        name = subject + (", baseline" if origin == "baseline" else "")
        cells.append([name, *(cell(line.get(metric)) for metric in metrics), result])
    return cells


def cell(row: Row | None) -> str:
    """Return what was measured beside its limit, with the sign that is true: "12.3 <= 500"."""
    if not row or row.measured is None:
        return "-" if row else ""
    holds, fails = (">=", "<") if row.objective.metric in AT_LEAST else ("<=", ">")
    return f"{figure(row.measured)} {holds if row.passed else fails} {figure(row.objective.limit)}"


def figure(value: float) -> str:
    """Return three digits of the number, or all of one that has more before its point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def verdict(outcome: Outcome, folder: Path) -> list[str]:
    """Return the lines that end a run: the table, what is to be said of it, and the verdict."""
    cells = table(outcome.rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    text = ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    figures = ", ".join(f"{name} {value:.0f}" for name, value in outcome.generator.items())
    told = [*outcome.notes, *([outcome.highest] if outcome.highest else []), f"The generator: {figures}."]
    reasons = [f"load: {reason}" for reason in outcome.reasons]
    return [
        "",
        *text,
        "",
        *told,
        outcome.site,
        f"The report: {folder / 'index.html'}",
        *reasons,
        f"load: {outcome.verdict}",
    ]


def write(outcome: Outcome, folder: Path) -> None:
    """Leave report.json and index.html in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(everything(outcome), indent=1))
    (folder / "index.html").write_text(html(outcome))


def everything(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as JSON has it."""
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
        "objectives": judged(outcome.rows),
        "steps": [
            {
                "users": step.users,
                "holds": step.holds,
                "invalid": step.invalid,
                "generator": step.generator,
                "objectives": judged(step.rows),
            }
            for step in outcome.steps
        ],
        "figures": [
            {"subject": subject, "metric": metric, "value": value}
            for (subject, metric), value in baseline.figures(outcome.recorded).items()
        ],
        "seconds": outcome.recorded.seconds,
        "routes": {name: vars(route) for name, route in outcome.recorded.routes.items()},
        "errors": outcome.errors,
        "history": outcome.history,
    }


def judged(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON has them."""
    return [{**vars(row.objective), "measured": row.measured, "passed": row.passed} for row in rows]


def html(outcome: Outcome) -> str:
    """Return the page of the run."""

    def series(*names: str) -> dict[str, list[tuple[float, float]]]:
        return {name.partition("_")[0]: [(at["second"], at[name]) for at in outcome.history] for name in names}

    charts = {
        "Requests a second": lines(series("requests_per_second", "failures_per_second"), "s"),
        "Response time, ms": lines(series("p50_ms", "p95_ms"), "s"),
        "Users": lines(series("users"), "s"),
    }
    settings = ", ".join(f"{name} {value}" for name, value in outcome.settings.items() if value not in (0, []))
    return page.render(
        "report.html",
        title=outcome.verdict,
        state=["pass", "fail", "invalid"][outcome.exit_code],
        outcome=outcome,
        settings=settings,
        table=table(outcome.rows),
        charts=charts,
    )
