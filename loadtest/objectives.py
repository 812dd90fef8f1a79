"""Objectives, and the statistics that are held to them. Imports nothing of locust."""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

from loadtest.text import figure

TOTAL, EVERY, MINIMUM = "total", "*", "minimum_responses"
PERCENTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}
AT_LEAST = {"requests_per_second", "users_percent"}
SERVED = ["requests_per_second", "error_percent", *PERCENTILES]
METRICS = {"total": SERVED, "route": SERVED, "generator": ["cpu_percent", "late_p95_ms", "users_percent"]}


class ObjectiveError(ValueError):
    """An objective is not allowed; the message names the objective and the allowed values."""


@dataclass(frozen=True)
class Objective:
    """The limit for one metric of a route, of "total", or of "generator"."""

    subject: str
    metric: str
    limit: float
    origin: str = "objective"  # or "baseline"
    minimum: int = 1  # responses; with fewer the objective is not measured


@dataclass(frozen=True)
class Row:
    """An objective and the measured figure; None if it was not measured."""

    objective: Objective
    measured: float | None
    requests: int = 0

    @property
    def met(self) -> bool | None:
        """Return whether the objective is met; None if it was not measured."""
        if self.measured is None:
            return None
        limit = self.objective.limit
        return self.measured >= limit if self.objective.metric in AT_LEAST else self.measured <= limit

    def __str__(self) -> str:
        subject, metric, limit, origin = (
            getattr(self.objective, name) for name in ("subject", "metric", "limit", "origin")
        )
        held = f", {'limit' if origin == 'objective' else origin} {figure(limit)}" if isfinite(limit) else ""
        return f"{subject} {metric} {'-' if self.measured is None else figure(self.measured)}{held}"


@dataclass
class Route:
    """The statistics of one route."""

    requests: int = 0
    failures: int = 0
    times: Counter[float] = field(default_factory=Counter)  # responses by milliseconds

    def percentile(self, share: float) -> float | None:
        """Return the milliseconds within which this share of the responses arrived; None without a response."""
        wanted, seen = share * sum(self.times.values()), 0
        for time, count in sorted(self.times.items()):
            seen += count
            if seen >= wanted:
                return time
        return None

    def measure(self, metric: str, seconds: float) -> float | None:
        """Return the metric; None without a request."""
        if metric == "requests_per_second":
            return self.requests / seconds if seconds else 0
        if metric == "error_percent":
            return self.failures / self.requests * 100 if self.requests else None
        return self.percentile(PERCENTILES[metric])


@dataclass
class Recorded:
    """The statistics of a run, or of a part of it."""

    seconds: float
    routes: dict[str, Route]

    @property
    def total(self) -> Route:
        """Return the statistics of all routes together."""
        routes = self.routes.values()
        times = sum((route.times for route in routes), Counter[float]())
        return Route(sum(route.requests for route in routes), sum(route.failures for route in routes), times)

    def since(self, earlier: "Recorded") -> "Recorded":
        """Return the statistics of the time after `earlier`."""
        routes = {}
        for name, route in self.routes.items():
            old = earlier.routes.get(name, Route())
            times = route.times - old.times
            routes[name] = Route(route.requests - old.requests, route.failures - old.failures, times)
        return Recorded(self.seconds - earlier.seconds, routes)


@dataclass(frozen=True)
class Objectives:
    """The objectives of one file."""

    note: str
    served: list[Objective]
    generator: list[Objective]

    def rows(self, recorded: Recorded, routes: Collection[str] | None = ()) -> list[Row]:
        """Return each objective with its figure; those of "*" for each route without objectives of its own.

        `routes` are all routes of the run's user classes: those without a request are not measured. With None, the
        routes are not known, and an objective of a route without a request has no row.
        """
        own = {each.subject for each in self.served}
        rows = []
        for each in self.served:
            subjects = sorted({*recorded.routes, *(routes or ())} - own) if each.subject == EVERY else [each.subject]
            for subject in subjects:
                if routes is None and subject not in {TOTAL, *recorded.routes}:
                    continue
                route = recorded.total if subject == TOTAL else recorded.routes.get(subject, Route())
                measured = route.measure(each.metric, recorded.seconds)
                rows.append(hold(replace(each, subject=subject), measured, route.requests))
        return rows

    def unused(self, recorded: Recorded) -> list[str]:
        """Return the routes that have an objective and no request."""
        return sorted({each.subject for each in self.served} - {TOTAL, EVERY, *recorded.routes})

    def generator_rows(self, generator: dict[str, float]) -> list[Row]:
        """Return each figure of the load generator with its objective, if it has one."""
        limits = {each.metric: each for each in self.generator}
        none = {metric: -inf if metric in AT_LEAST else inf for metric in generator}
        return [
            Row(limits.get(metric, Objective("generator", metric, none[metric])), value)
            for metric, value in generator.items()
        ]

    def invalid(self, generator: dict[str, float]) -> list[str]:
        """Return a sentence for each objective that the load generator misses."""
        return [
            f"the generator's {row.objective.metric} is {figure(row.measured)}; the limit is {row.objective.limit:g}"
            for row in self.generator_rows(generator)
            if row.measured is not None and not row.met
        ]


def hold(objective: Objective, measured: float | None, requests: int) -> Row:
    """Hold the figure to the objective; it is not measured if it has fewer responses than the objective needs.

    Two figures need no minimum: the rate of all requests, and an error rate that is missed.
    """
    row = Row(objective, measured, requests)
    is_total_rate = (objective.subject, objective.metric) == (TOTAL, "requests_per_second")
    is_missed = objective.metric == "error_percent" and row.met is False
    return row if requests >= objective.minimum or is_total_rate or is_missed else Row(objective, None, requests)


def read(path: Path, known: Iterable[str] | None) -> Objectives:
    """Return the objectives of the file; raise ObjectiveError for one that is not allowed.

    `known` are the routes that can have one; None if they are not known before the run.
    """
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ObjectiveError(f"{path}: {error}") from error
    if unknown := table.keys() - {"note", MINIMUM, *METRICS}:
        raise ObjectiveError(f"{path}: [{min(unknown)}] must be one of note, {MINIMUM}, {', '.join(METRICS)}")
    routes: dict[str, Any] = table.get("route", {})
    if known is not None and (unknown := routes.keys() - {EVERY, *known}):
        raise ObjectiveError(f"{path}: no scenario has a route {min(unknown)!r}; there are {', '.join(sorted(known))}")
    minimum = table.get(MINIMUM, 1)
    served = list(section(path, "total", TOTAL, table.get("total", {}), minimum))
    for name, limits in routes.items():
        served += section(path, "route", name, limits, minimum)
    generator = list(section(path, "generator", "generator", table.get("generator", {}), 1))
    return Objectives(table.get("note", ""), served, generator)


def section(path: Path, kind: str, subject: str, limits: object, minimum: object) -> Iterator[Objective]:
    """Yield the objectives of one section; raise ObjectiveError for one that is not allowed."""
    if not isinstance(limits, dict):
        raise ObjectiveError(f"{path}: {subject!r} is {limits!r}: it must be a table of metrics")
    minimum = limits.get(MINIMUM, minimum)
    if type(minimum) is not int or minimum < 1:
        raise ObjectiveError(f"{path}: {MINIMUM} of {subject!r} is {minimum!r}: it must be a whole number, 1 or more")
    for metric, limit in limits.items():
        if metric == MINIMUM:
            continue
        if metric not in METRICS[kind]:
            raise ObjectiveError(f"{path}: {metric} of {subject!r} must be one of {', '.join(METRICS[kind])}")
        if type(limit) not in {int, float} or limit < 0:
            raise ObjectiveError(f"{path}: {metric} of {subject!r} is {limit!r}: it must be a number, 0 or more")
        yield Objective(subject, metric, float(limit), minimum=minimum)
