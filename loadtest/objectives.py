"""The objectives, and how recorded statistics are held against them. Knows nothing of locust."""

import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TOTAL, EVERY, MINIMUM = "total", "*", "minimum_responses"
PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
AT_LEAST = {"requests_per_second", "users_percent"}
METRICS = {
    "total": ["requests_per_second", "error_percent", *PERCENTILES],
    "route": ["requests_per_second", "error_percent", *PERCENTILES],
    "generator": ["cpu_percent", "late_p95_ms", "users_percent"],
}


class ObjectiveError(ValueError):
    """An objective that cannot be meant; its message names it and what is allowed."""


@dataclass(frozen=True)
class Objective:
    """A limit of one metric of one subject: a route, "total", or the generator."""

    subject: str
    metric: str
    limit: float
    origin: str = "objective"  # or "baseline"
    minimum: int = 1  # responses; with fewer it is not measured


@dataclass(frozen=True)
class Row:
    """An objective, what was measured, and whether it holds; None where nothing was measured."""

    objective: Objective
    measured: float | None
    requests: int = 0  # that it was measured on

    @property
    def passed(self) -> bool | None:
        """Tell whether the objective holds."""
        if self.measured is None:
            return None
        if self.objective.metric in AT_LEAST:
            return self.measured >= self.objective.limit
        return self.measured <= self.objective.limit


@dataclass
class Route:
    """What was recorded of one route: counts, and how many answers took how many milliseconds."""

    requests: int = 0
    failures: int = 0
    times: dict[float, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds within which this share of the answers came, or None where there was none."""
        wanted, seen = share * sum(self.times.values()), 0
        for time, count in sorted(self.times.items()):
            seen += count
            if seen >= wanted:
                return time
        return None

    def measure(self, metric: str, seconds: float) -> float | None:
        """Return the metric, or None where there was no request."""
        if metric == "requests_per_second":
            return self.requests / seconds if seconds else 0
        if not self.requests:
            return None
        return (
            self.failures / self.requests * 100 if metric == "error_percent" else self.percentile(PERCENTILES[metric])
        )


@dataclass
class Recorded:
    """The statistics of a run, or of a part of it."""

    seconds: float
    routes: dict[str, Route]

    @property
    def total(self) -> Route:
        """Return all routes together."""
        total = Route()
        for route in self.routes.values():
            total.requests += route.requests
            total.failures += route.failures
            for time, count in route.times.items():
                total.times[time] = total.times.get(time, 0) + count
        return total

    def since(self, earlier: "Recorded") -> "Recorded":
        """Return what was recorded after `earlier` was."""
        routes = {}
        for name, route in self.routes.items():
            old = earlier.routes.get(name, Route())
            times = {time: count - old.times.get(time, 0) for time, count in route.times.items()}
            times = {time: count for time, count in times.items() if count > 0}
            routes[name] = Route(route.requests - old.requests, route.failures - old.failures, times)
        return Recorded(self.seconds - earlier.seconds, routes)


@dataclass(frozen=True)
class Objectives:
    """What the file says."""

    note: str
    served: list[Objective]
    generator: list[Objective]

    def rows(self, recorded: Recorded, routes: Collection[str] = ()) -> list[Row]:
        """Return each objective with what was recorded; those of "*" once for each route that has none of its own.

        `routes` are in the run's scenarios: those without a response are not measured.
        """
        own = {each.subject for each in self.served}
        rows = []
        for each in self.served:
            subjects = sorted({*recorded.routes, *routes} - own) if each.subject == EVERY else [each.subject]
            for subject in subjects:
                route = recorded.total if subject == TOTAL else recorded.routes.get(subject, Route())
                measured = route.measure(each.metric, recorded.seconds)
                rows.append(judge(replace(each, subject=subject), measured, route.requests))
        return rows

    def invalid(self, generator: dict[str, float]) -> list[str]:
        """Return why the run says nothing of the server, in words."""
        rows = [Row(each, generator.get(each.metric)) for each in self.generator]
        return [
            f"the generator's {row.objective.metric} is {row.measured:.0f}; the limit is {row.objective.limit:g}"
            for row in rows
            if row.passed is False
        ]


def judge(objective: Objective, measured: float | None, requests: int) -> Row:
    """Return the row; with fewer responses than the objective needs, it is not measured.

    Two figures need no minimum: the rate of all requests, and an error rate that is missed.
    """
    row = Row(objective, measured, requests)
    is_total_rate = (objective.subject, objective.metric) == (TOTAL, "requests_per_second")
    is_missed = objective.metric == "error_percent" and row.passed is False
    return row if requests >= objective.minimum or is_total_rate or is_missed else Row(objective, None, requests)


def read(path: Path, known: Iterable[str]) -> Objectives:
    """Return the objectives that the file holds; raise ObjectiveError for one that cannot be meant."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ObjectiveError(f"{path}: {error}") from error
    if unknown := table.keys() - {"note", MINIMUM, *METRICS}:
        raise ObjectiveError(f"{path}: [{min(unknown)}] must be one of note, {MINIMUM}, {', '.join(METRICS)}")
    routes: dict[str, Any] = table.get("route", {})
    if unknown := routes.keys() - {EVERY, *known}:
        raise ObjectiveError(f"{path}: no scenario has a route {min(unknown)!r}; there are {', '.join(sorted(known))}")
    minimum = table.get(MINIMUM, 1)
    served = list(section(path, "total", TOTAL, table.get("total", {}), minimum))
    for name, limits in routes.items():
        served += section(path, "route", name, limits, minimum)
    generator = list(section(path, "generator", "generator", table.get("generator", {}), 1))
    return Objectives(table.get("note", ""), served, generator)


def section(path: Path, kind: str, subject: str, limits: object, minimum: object) -> Iterator[Objective]:
    """Yield the objectives of one section; raise ObjectiveError for one that cannot be meant."""
    if not isinstance(limits, dict):
        raise ObjectiveError(f"{path}: {subject!r} is {limits!r}: it must be a table of metrics")
    minimum = limits.get(MINIMUM, minimum)
    if not isinstance(minimum, int) or isinstance(minimum, bool) or minimum < 1:
        raise ObjectiveError(f"{path}: {MINIMUM} of {subject!r} is {minimum!r}: it must be a whole number, 1 or more")
    for metric, limit in limits.items():
        if metric == MINIMUM:
            continue
        if metric not in METRICS[kind]:
            raise ObjectiveError(f"{path}: {metric} of {subject!r} must be one of {', '.join(METRICS[kind])}")
        if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0:
            raise ObjectiveError(f"{path}: {metric} of {subject!r} is {limit!r}: it must be a number, 0 or more")
        yield Objective(subject, metric, float(limit), minimum=minimum)
