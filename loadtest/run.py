"""One run, from the options to the exit code: 0 if every objective holds, 1 if one does not, 2 if none can be told.

It listens to locust's events, so it is the same run from `make load`, in a container, on workers and on the web page.
"""

import copy
import sys
from pathlib import Path
from typing import Any, NoReturn

import locust.stats
from locust import TaskSet, User, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import baseline, objectives, report, scenarios, site
from loadtest.generator import Effort, Monitor, figures
from loadtest.objectives import Objectives
from loadtest.pilot import Shape
from loadtest.recorder import Recorder, bucket, options, say
from loadtest.shapes import PLANS

HERE = Path(__file__).parent
WHOLE = 0.95  # of its time: a run that lasted less was ended before it had shown what it was to show

locust.stats.bucket_response_time = bucket  # type: ignore[assignment] # as locust's documentation has it


class Run:
    """What one process of locust holds: the recorder, the objectives, what the workers report."""

    def __init__(self, environment: Environment, given: Objectives) -> None:
        self.environment = environment
        self.options = options(environment)
        self.objectives = given
        self.monitor = Monitor()
        self.recorder = Recorder(environment)
        self.watch = site.Watch(self.options.host)
        self.workers: dict[str, Effort] = {}
        self.steps: list[report.Step] = []  # of a breakpoint
        self.step_began = objectives.Recorded(0, {}), dict[str, Effort]()

    def start(self, **_: object) -> None:
        """Begin to measure."""
        self.workers.clear()
        self.steps.clear()
        self.step_began = objectives.Recorded(0, {}), {}
        self.monitor.start()
        if not isinstance(self.environment.runner, WorkerRunner):
            self.watch.address = self.environment.host or self.options.host  # the web page can name another
            self.watch.start()
            self.recorder.start()

    def stopping(self, **_: object) -> None:
        """Look for the workers once more: where the last one is lost, the run is stopped before the next look."""
        self.recorder.miss_workers()

    def stop(self, **_: object) -> None:
        """End measuring."""
        self.monitor.stop()
        self.recorder.stop()
        self.watch.stop()

    def blame(self, user_instance: User | TaskSet, exception: Exception, **_: object) -> None:
        """Count what a task raised as a request that failed: the one that it was about to count, or to send."""
        user = user_instance.user if isinstance(user_instance, TaskSet) else user_instance
        self.environment.events.request.fire(
            request_type="TASK",
            name=type(user).__name__,
            response_time=None,
            response_length=0,
            exception=exception,
            context={},
        )

    def tell(self, data: dict[str, Any], **_: object) -> None:
        """Add this worker's own effort to what locust tells the master."""
        data["effort"] = vars(self.monitor.effort)

    def hear(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        """Take a worker's effort."""
        self.workers[client_id] = Effort(**data["effort"])

    def efforts(self) -> dict[str, Effort]:
        """Return the effort of each process, so far."""
        return copy.deepcopy({"": self.monitor.effort, **self.workers})

    def generator(self) -> dict[str, float]:
        """Return the worst figures of any process, and the percentage of the users asked for that there were."""
        if self.steps:  # a breakpoint ends where it breaks, and it need not reach the users that it may have
            return self.steps[-1].generator
        wanted = max(share for _, share in PLANS[self.options.shape].points) * self.options.num_users
        return figures(self.efforts()) | {"users_percent": self.recorder.peak / wanted * 100}

    def invalid(self) -> list[str]:
        """Return why this run says nothing of the server, in words."""
        lost = self.recorder.lost.items()
        found = [f"worker {name} was lost {second:.0f} s after the start" for name, second in lost]
        if self.watch.change and not self.options.allow_change:
            found.append(f"{self.watch.change} (ALLOW_CHANGE=1 allows it)")
        seconds, wanted = self.recorder.recorded().seconds, self.options.run_time
        if self.options.shape != "breakpoint" and seconds < WHOLE * wanted:
            found.append(f"it was ended after {seconds:.0f} s of {wanted:.0f} s")
        return found + self.objectives.invalid(self.generator())

    def step_holds(self, users: int) -> bool:
        """Judge a step of a breakpoint when it ends: whether to go on."""
        (recorded, began), efforts, now = self.step_began, self.efforts(), self.recorder.recorded()
        generator = figures({name: each.since(began.get(name, Effort())) for name, each in efforts.items()})
        generator["users_percent"] = self.recorder.peak / users * 100
        self.step_began, self.recorder.peak = (now, efforts), 0
        rows = self.rows(now.since(recorded))
        self.steps.append(report.Step(users, rows, generator, self.objectives.invalid(generator)))
        say(f"load: {self.steps[-1]}")
        return self.steps[-1].holds

    def rows(self, recorded: objectives.Recorded) -> list[objectives.Row]:
        """Return the objectives of the routes that this run's user classes request."""
        classes = {base.__name__ for each in self.environment.user_classes for base in each.__mro__}
        return self.objectives.rows(recorded, scenarios.names(classes))

    def outcome(self) -> report.Outcome:
        """Return the outcome of the run."""
        recorded = self.recorder.recorded()
        held = [step for step in self.steps if step.holds]
        rows = (held or self.steps)[-1].rows if self.steps else self.rows(recorded)
        version, seconds = self.watch.version, round(recorded.seconds, 1)
        settings = baseline.settings(self.options, version)
        held_against, remark = baseline.rows(Path(self.options.report, baseline.FILE), settings, recorded)
        return report.Outcome(
            measured={
                "host": self.watch.address,
                **vars(version),
                "instances": sorted(self.watch.first | self.watch.last),
                "started": f"{self.recorder.started:%Y-%m-%d %H:%M:%S} UTC",
                "seconds": seconds,
            },
            settings=settings,
            notes=[each for each in (self.objectives.note, remark, self.watch.change) if each],
            invalid=self.invalid(),
            rows=rows + held_against,
            steps=self.steps,
            generator=self.generator(),
            recorded=recorded,
            history=self.recorder.history,
            errors=[each.to_dict() for each in self.environment.stats.errors.values()],
        )


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add our options to locust's."""
    parser.add_argument("--shape", choices=sorted(PLANS), default="smoke", env_var="LOCUST_SHAPE",
                        help="How the load runs over time: see loadtest/shapes.py")  # fmt: skip
    parser.add_argument("--objectives", default=str(HERE / "objectives.toml"), env_var="LOCUST_OBJECTIVES",
                        include_in_web_ui=False, help="The file that says what must hold")  # fmt: skip
    parser.add_argument("--report", default=str(HERE / "report"), env_var="LOCUST_REPORT",
                        include_in_web_ui=False, help="The folder that the report is left in")  # fmt: skip
    parser.add_argument("--allow-change", action="store_true", env_var="LOCUST_ALLOW_CHANGE",
                        help="Accept a run during which the site's release, backend or size changed")  # fmt: skip


@events.init.add_listener
def prepare(environment: Environment, **_: object) -> None:
    """Fill the options in, refuse what cannot be, and listen; exit 2 where nothing can be measured."""
    given = options(environment)
    given.num_users = given.num_users or PLANS[given.shape].users
    given.run_time = given.run_time or PLANS[given.shape].seconds
    is_worker = isinstance(environment.runner, WorkerRunner)
    try:
        limits = objectives.read(Path(given.objectives), scenarios.names())
        if not is_worker:
            find_site(environment)
    except (objectives.ObjectiveError, site.SiteError) as error:
        refuse(str(error))
    run = Run(environment, limits)
    environment.events.test_start.add_listener(run.start)
    environment.events.test_stopping.add_listener(run.stopping)
    environment.events.test_stop.add_listener(run.stop)
    environment.events.user_error.add_listener(run.blame)
    environment.events.report_to_master.add_listener(run.tell)
    environment.events.worker_report.add_listener(run.hear)
    if isinstance(environment.shape_class, Shape):
        environment.shape_class.holds = run.step_holds
    if given.headless and not is_worker:
        given.html_file = f"{given.report}/locust.html"
        how = f"{given.processes} workers" if isinstance(environment.runner, MasterRunner) else "one process"
        say(f"load: {given.shape}, {given.num_users} users, {given.run_time:.0f} s, {how}, against {given.host}")
        conclude(environment, run)


def refuse(sentence: str) -> NoReturn:
    """End with the sentence and the exit code that says that nothing was measured."""
    print(f"load: {sentence}", file=sys.stderr)
    sys.exit(report.INVALID)


def find_site(environment: Environment) -> None:
    """Set the host to where the site is; without one, raise SiteError, or start the web page all the same."""
    given = options(environment)
    try:
        given.host = site.find(given.host)
    except site.SiteError as error:
        if given.headless:
            raise
        say(f"load: {error}")
        given.host = given.host or site.addresses()[-1]
    environment.host = given.host


def conclude(environment: Environment, run: Run) -> None:
    """At the end, leave the report and set the exit code; print the verdict after the tables that locust prints."""

    def judge(environment: Environment, **_: object) -> None:
        outcome = run.outcome()
        folder = Path(run.options.report)
        report.write(outcome, folder)
        environment.process_exit_code = outcome.exit_code
        environment.events.quit.add_listener(lambda **_: say(*report.verdict(outcome, folder)))

    environment.events.quitting.add_listener(judge)
