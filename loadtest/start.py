"""The start of a run: locust's options and ours, the site, and the listeners."""

import sys
from pathlib import Path
from typing import NoReturn

import locust.stats
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest import objectives, site
from loadtest.outcome import INVALID
from loadtest.recorder import bucket, options, say
from loadtest.run import Run, known_routes
from loadtest.shapes import PLANS, Shape

HERE = Path(__file__).parent


def listen() -> None:
    """Add the listeners to locust's events, for any locustfile."""
    locust.stats.bucket_response_time = bucket  # type: ignore[assignment] # locust documents this replacement
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(prepare)


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


def prepare(environment: Environment, **_: object) -> None:
    """Complete the options, find the site and add the listeners; exit with 2 if nothing can be measured."""
    given = options(environment)
    if environment.shape_class is None:  # the locustfile has none
        environment.shape_class = Shape()
        environment.shape_class.runner = environment.runner
    if isinstance(environment.shape_class, Shape):
        given.num_users = given.num_users or PLANS[given.shape].users
        given.run_time = given.run_time or PLANS[given.shape].seconds
    else:
        given.shape, given.num_users = type(environment.shape_class).__name__, given.num_users or 0
    try:
        run = Run(environment, objectives.read(Path(given.objectives), known_routes(environment, "every_route")))
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
        size = f"{given.num_users} users, {given.run_time:.0f} s, " if given.run_time else ""
        say(f"load: {given.shape}, {size}{how}, against {given.host}")
        environment.events.quitting.add_listener(run.quitting)


def find_site(environment: Environment) -> None:
    """Set the host to the site's address. Without a site, raise SiteError, except for the web page.

    The address is LOCUST_HOST, or the `host` of a user class, or that of the site that runs here.
    """
    given = options(environment)
    given.host = given.host or next((each.host for each in environment.user_classes if each.host), None)
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
    sys.exit(INVALID)
