"""One run: from the options to the exit code, by listening to the events of locust."""

import copy
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import locust.stats
from locust import TaskSet, User, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import baseline, objectives, report, scenarios, site
from loadtest.generator import Effort, Monitor, figures
from loadtest.objectives import Objectives, Recorded, Row
from loadtest.recorder import Recorder, bucket, options, say
from loadtest.shapes import PLANS, Shape

HERE = Path(__file__).parent
WHOLE = 0.95  # of the run time: a shorter run was ended early

locust.stats.bucket_response_time = bucket  # type: ignore[assignment] # locust documents this replacement


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
        self.steps: list[report.Step] = []  # of a breakpoint
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
        wanted = max(share for _, share in PLANS[self.options.shape].points) * self.options.num_users
        return figures(self.efforts()) | {"users_percent": self.recorder.peak / wanted * 100}

    def invalid(self) -> list[str]:
        """Return a sentence for each reason why this run does not measure the site."""
        lost = self.recorder.lost.items()
        found = [f"worker {name} was lost {second:.0f} s after the start" for name, second in lost]
        if self.watch.change and not self.options.allow_change:
            found.append(f"{self.watch.change} (ALLOW_CHANGE=1 allows it)")
        seconds, wanted = self.recorder.recorded().seconds, self.options.run_time
        if self.options.shape != "breakpoint" and seconds < WHOLE * wanted:
            found.append(f"the run was ended after {seconds:.0f} s of {wanted:.0f} s")
        return found + self.objectives.invalid(self.generator())

    def rows(self, recorded: Recorded) -> list[Row]:
        """Hold the statistics to the objectives of the routes that this run's user classes request."""
        classes = {base.__name__ for each in self.environment.user_classes for base in each.__mro__}
        return self.objectives.rows(recorded, scenarios.names(classes))

    def step_meets_objectives(self, users: int) -> bool:
        """Hold the step of a breakpoint that ends now to the objectives; return whether to go on."""
        (recorded, began), efforts, now = self.step_began, self.efforts(), self.recorder.recorded()
        generator = figures({name: each.since(began.get(name, Effort())) for name, each in efforts.items()})
        generator["users_percent"] = self.recorder.peak / users * 100
        self.step_began, self.recorder.peak = (now, efforts), 0
        step = report.Step(users, self.rows(now.since(recorded)), generator, self.objectives.invalid(generator))
        self.steps.append(step)
        say(f"load: {step}")
        return step.is_met

    def outcome(self) -> report.Outcome:
        """Return the result of the run; of a breakpoint, the objectives of the highest step that met them."""
        recorded, version = self.recorder.recorded(), self.watch.version
        met = [step for step in self.steps if step.is_met]
        rows = (met or self.steps)[-1].rows if self.steps else self.rows(recorded)
        settings = baseline.settings(self.options, version)
        baseline_rows, note = baseline.rows(Path(self.options.report, baseline.FILE), settings, recorded)
        return report.Outcome(
            measured={
                "host": self.watch.address,
                **vars(version),
                "instances": sorted(self.watch.first | self.watch.last),
                "started": f"{self.recorder.started:%Y-%m-%d %H:%M:%S} UTC",
                "seconds": round(recorded.seconds, 1),
            },
            settings=settings,
            notes=[each for each in (self.objectives.note, note, self.watch.change) if each],
            invalid=self.invalid(),
            rows=rows + baseline_rows,
            steps=self.steps,
            generator=self.generator(),
            recorded=recorded,
            errors=[each.to_dict() for each in self.environment.stats.errors.values()],
        )

    def quitting(self, **_: object) -> None:
        """Write the report and set the exit code; print the verdict at the end, below locust's tables."""
        outcome, folder = self.outcome(), Path(self.options.report)
        report.write(outcome, folder)
        self.environment.process_exit_code = outcome.exit_code
        self.environment.events.quit.add_listener(lambda **_: say(*report.verdict(outcome, folder)))


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add our options to locust's."""
    parser.add_argument("--shape", choices=sorted(PLANS), default="smoke", env_var="LOCUST_SHAPE",
                        help="The load shape: see loadtest/shapes.py")  # fmt: skip
    parser.add_argument("--objectives", default=str(HERE / "objectives.toml"), env_var="LOCUST_OBJECTIVES",
                        include_in_web_ui=False, help="The file with the objectives")  # fmt: skip
    parser.add_argument("--report", default=str(HERE / "report"), env_var="LOCUST_REPORT",
                        include_in_web_ui=False, help="The folder for the report")  # fmt: skip
    parser.add_argument("--allow-change", action="store_true", env_var="LOCUST_ALLOW_CHANGE",
                        help="Accept a run during which the site's release, backend or size changed")  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """Complete the options, find the site and add the listeners; exit with 2 if nothing can be measured."""
    given = options(environment)
    given.num_users = given.num_users or PLANS[given.shape].users
    given.run_time = given.run_time or PLANS[given.shape].seconds
    try:
        run = Run(environment, objectives.read(Path(given.objectives), scenarios.names()))
        if not run.is_worker:
            find_site(environment)
    except (objectives.ObjectiveError, site.SiteError) as error:
        refuse(str(error))
    for name in ("test_start", "test_stopping", "test_stop", "user_error", "report_to_master", "worker_report"):
        getattr(environment.events, name).add_listener(getattr(run, name))
    if isinstance(environment.shape_class, Shape):
        environment.shape_class.meets_objectives = run.step_meets_objectives
    if given.headless and not run.is_worker:
        given.html_file = f"{given.report}/locust.html"
        how = f"{given.processes} workers" if isinstance(environment.runner, MasterRunner) else "one process"
        say(f"load: {given.shape}, {given.num_users} users, {given.run_time:.0f} s, {how}, against {given.host}")
        environment.events.quitting.add_listener(run.quitting)


def find_site(environment: Environment) -> None:
    """Set the host to the site's address. Without a site raise SiteError; the web page starts all the same."""
    given = options(environment)
    try:
        given.host = site.find(given.host)
    except site.SiteError as error:
        if given.headless:
            raise
        say(f"load: {error}")
        given.host = given.host or site.addresses()[-1]
    environment.host = given.host


def refuse(sentence: str) -> NoReturn:
    """Print the sentence and exit with the code of an invalid run."""
    print(f"load: {sentence}", file=sys.stderr)
    sys.exit(report.INVALID)
