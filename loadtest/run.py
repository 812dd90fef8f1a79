"""One run: from the options to the exit code, by listening to the events of locust."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import locust.stats
from locust import TaskSet, User
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest import baseline, machine, report, site, terminal
from loadtest.generator import Effort, Monitor, figures
from loadtest.objectives import Objectives, Recorded, Row
from loadtest.outcome import Outcome, Step
from loadtest.recorder import Recorder, options, say
from loadtest.shapes import PLANS

WHOLE = 0.95  # of the run time: a shorter run was ended early


class Run:
    """The listeners of one process. Each is named after the event of locust that it listens to."""

    recorder: Recorder
    monitor: Monitor
    watch: site.Watch

    def __init__(self, environment: Environment, given: Objectives) -> None:
        self.environment = environment
        self.options = options(environment)
        self.objectives = given
        self.is_worker = isinstance(environment.runner, WorkerRunner)

    def test_start(self, **_: object) -> None:
        """Start measuring."""
        self.workers: dict[str, Effort] = {}
        self.steps: list[Step] = []  # of a breakpoint
        self.step_began = Recorded(0, {}), dict[str, Effort]()
        self.monitor = Monitor()
        if not self.is_worker:
            self.watch = site.Watch(self.environment.host or self.options.host)  # the web page can change the host
            self.recorder = Recorder(self.environment)

    def test_stopping(self, **_: object) -> None:
        """Look for lost workers once more: locust stops the run as soon as it loses the last one."""
        if not self.is_worker:
            self.recorder.find_lost_workers()

    def test_stop(self, **_: object) -> None:
        """Stop measuring."""
        self.monitor.stop()
        if not self.is_worker:
            self.recorder.stop()
            self.watch.stop()

    def user_error(self, user_instance: User | TaskSet, exception: Exception, **_: object) -> None:
        """Count an exception in a task as a failed request."""
        user = user_instance.user if isinstance(user_instance, TaskSet) else user_instance
        self.environment.events.request.fire(
            request_type="TASK",
            name=type(user).__name__,
            response_time=None,
            response_length=0,
            exception=exception,
            context={},
        )

    def report_to_master(self, data: dict[str, Any], **_: object) -> None:
        """Add this worker's effort to its report."""
        data["effort"] = vars(self.monitor.effort)

    def worker_report(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        """Take a worker's effort from its report."""
        effort = data["effort"]
        self.workers[client_id] = Effort(**effort | {name: Counter(effort[name]) for name in ("late", "busy")})

    def efforts(self) -> dict[str, Effort]:
        """Return the effort of each process so far."""
        return copy.deepcopy({"": self.monitor.effort, **self.workers})

    def generator(self) -> dict[str, float]:
        """Return the figures of the busiest process, and the peak of users as a percentage of those wanted."""
        if self.steps:  # a breakpoint need not reach its number of users
            return self.steps[-1].generator
        plan = PLANS.get(self.options.shape)
        wanted = max(share for _, share in plan.points) * self.options.num_users if plan else self.recorder.wanted
        return figures(self.efforts()) | {"users_percent": self.recorder.peak / (wanted or 1) * 100}

    def invalid(self) -> list[str]:
        """Return a sentence for each reason why this run does not measure the site."""
        lost = self.recorder.lost.items()
        found = [f"worker {name} was lost {second:.0f} s after the start" for name, second in lost]
        if self.watch.change and not self.options.allow_change:
            found.append(f"{self.watch.change} (ALLOW_CHANGE=1 allows it)")
        seconds, wanted = self.recorder.recorded().seconds, self.options.run_time
        if wanted and self.options.shape != "breakpoint" and seconds < WHOLE * wanted:
            found.append(f"the run was ended after {seconds:.0f} s of {wanted:.0f} s")
        return found + self.objectives.invalid(self.generator())

    def rows(self, recorded: Recorded) -> list[Row]:
        """Hold the statistics to the objectives of the routes that this run's user classes request."""
        return self.objectives.rows(recorded, known_routes(self.environment, "routes"))

    def step_meets_objectives(self, users: int) -> bool:
        """Hold the step of a breakpoint that ends now to the objectives; return whether to go on."""
        (recorded, began), efforts, now = self.step_began, self.efforts(), self.recorder.recorded()
        generator = figures({name: each.since(began.get(name, Effort())) for name, each in efforts.items()})
        generator["users_percent"] = self.recorder.peak / users * 100
        self.step_began, self.recorder.peak = (now, efforts), 0
        step = Step(users, self.rows(now.since(recorded)), generator, self.objectives.invalid(generator))
        self.steps.append(step)
        say(f"load: {step}")
        return step.is_met

    def outcome(self) -> Outcome:
        """Return the result of the run; of a breakpoint, the objectives of the highest step that met them."""
        recorded, version = self.recorder.recorded(), self.watch.version
        met = [step for step in self.steps if step.is_met]
        rows = (met or self.steps)[-1].rows if self.steps else self.rows(recorded)
        settings = baseline.settings(self.options, version)
        baseline_rows, note = baseline.rows(Path(self.options.report, baseline.FILE), settings, recorded)
        unused = [] if known_routes(self.environment, "routes") is not None else self.objectives.unused(recorded)
        without = f"No request went to {', '.join(unused)}: their objectives do not count." if unused else ""
        return Outcome(
            measured={
                "host": self.watch.address,
                **vars(version),
                "instances": sorted(self.watch.first | self.watch.last),
                "started": f"{self.recorder.started:%Y-%m-%d %H:%M:%S} UTC",
                "seconds": round(recorded.seconds, 1),
                "machine": machine.describe(),
                "commit": machine.commit(),
            },
            settings=settings,
            notes=[each for each in (self.objectives.note, note, without, self.watch.change) if each],
            invalid=self.invalid(),
            rows=rows + baseline_rows,
            steps=self.steps,
            generator_rows=self.objectives.generator_rows(self.generator()),
            recorded=recorded,
            errors=[each.to_dict() for each in self.environment.stats.errors.values()],
        )

    def quitting(self, **_: object) -> None:
        """Write the report and set the exit code; print the verdict at the end, instead of locust's wide tables."""
        outcome, folder = self.outcome(), Path(self.options.report)
        report.write(outcome, folder)
        self.environment.process_exit_code = outcome.exit_code
        self.environment.events.quit.add_listener(lambda **_: say(*terminal.lines(outcome, folder)))
        for name in ("print_stats", "print_percentile_stats", "print_error_report"):
            setattr(locust.stats, name, lambda *_, **__: None)


def known_routes(environment: Environment, name: str) -> set[str] | None:
    """Return the routes that the user classes declare in this attribute; None if one is not of loadtest/users.py."""
    if not all(hasattr(each, "every_route") for each in environment.user_classes):
        return None
    return {route for each in environment.user_classes for route in getattr(each, name)}
