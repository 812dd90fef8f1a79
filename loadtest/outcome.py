"""The result of a run, and its verdict."""

from dataclasses import dataclass, field
from typing import Any

from loadtest import baseline
from loadtest.errors import in_words
from loadtest.objectives import TOTAL, Recorded, Route, Row
from loadtest.text import figure

PASSED, FAILED, INVALID = 0, 1, 2
INVALID_VERDICT = "INVALID: this run does not measure the server"
GENERATOR = {
    "cpu_percent": "percent of CPU in the busiest process",
    "late_p95_ms": "milliseconds of lateness (p95)",
    "users_percent": "percent of the users",
}


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

    measured: dict[str, Any]  # the site, the machine, when, and for how long
    settings: baseline.Settings
    notes: list[str]
    invalid: list[str]
    rows: list[Row]
    steps: list[Step]
    generator_rows: list[Row]
    recorded: Recorded
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return 0, 1 if an objective was missed, or 2 if the run is invalid."""
        if self.invalid or (self.rows and len(self.not_measured) == len(self.rows)):
            return INVALID
        return FAILED if self.missed else PASSED

    @property
    def missed(self) -> list[Row]:
        """Return the objectives that were missed."""
        return [row for row in self.rows if row.met is False]

    @property
    def not_measured(self) -> list[Row]:
        """Return the objectives that had too few responses."""
        return [row for row in self.rows if row.met is None]

    @property
    def verdict(self) -> str:
        """Return the verdict, with the number of objectives that were met or missed, and not measured."""
        if self.exit_code == INVALID:
            return INVALID_VERDICT
        count, word = (len(self.missed), "missed") if self.exit_code else (len(self.met), "met")
        verdict = f"{'FAILED' if self.exit_code else 'passed'}: {count} of {len(self.rows)} objectives {word}"
        return f"{verdict}, {len(self.not_measured)} not measured" if self.not_measured else verdict

    @property
    def met(self) -> list[Row]:
        """Return the objectives that were met."""
        return [row for row in self.rows if row.met]

    @property
    def sentence(self) -> str:
        """Return the verdict with the figures of the whole run, in a sentence."""
        total, seconds = self.recorded.total, self.recorded.seconds
        if self.exit_code == INVALID:
            return f"{INVALID_VERDICT}, because {(self.reasons or ['nothing was measured'])[0]}."
        rate, slowest = figure(total.measure("requests_per_second", seconds) or 0), total.percentile(0.95)
        p95 = f", 95 % of the responses within {figure(slowest)} ms" if slowest is not None else ""
        return f"{self.verdict}. {rate} requests per second{p95}, {total.failures:,} of {total.requests:,} failed."

    @property
    def reasons(self) -> list[str]:
        """Return why the run is invalid, and which objectives were not measured."""
        responses = {row.objective.subject: row.requests for row in self.not_measured}
        routes = ", ".join(f"{subject} ({count})" for subject, count in sorted(responses.items()))
        few = [f"not measured, too few responses: {routes}: set a longer RUN_TIME"] if routes else []
        return self.invalid + few

    @property
    def failures(self) -> list[str]:
        """Return each kind of failure in words, the most frequent first."""
        ordered = sorted(self.errors, key=lambda each: -int(each["occurrences"]))
        return [f"{each['method']} {each['name']}, {each['occurrences']:,} times: {in_words(each)}" for each in ordered]

    @property
    def generator(self) -> list[str]:
        """Return each figure of the load generator in words, with its limit."""
        return [f"{GENERATOR[row.objective.metric]} {str(row).split(maxsplit=2)[2]}" for row in self.generator_rows]

    @property
    def site(self) -> str:
        """Return the version, the address, the start and the duration, in a sentence."""
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

    @property
    def routes(self) -> dict[str, Route]:
        """Return the statistics of each route, those without a request too, and of all together."""
        names = sorted({*self.recorded.routes, *(row.objective.subject for row in self.rows)} - {TOTAL})
        return {name: self.recorded.routes.get(name, Route()) for name in names} | {TOTAL: self.recorded.total}

    def result(self, route: str) -> str:
        """Return whether the route's objectives were met."""
        results = {row.met for row in self.rows if row.objective.subject == route}
        return "MISSED" if False in results else "too few" if None in results else "met" if results else ""
