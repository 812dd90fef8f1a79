"""Background jobs with huey on SQLite: a request starts a job and answers at once, and a consumer runs the job.

Use it for work that takes longer than a client waits. The consumer is a process of its own, with the code of the app.
On SIGTERM it completes the job that it runs, and exits. The next consumer runs the jobs that are left. In
docker-compose.yml, beside the service `app`:

    jobs:
      <<: *app
      command: [python, -c, "from app.jobs import consume; consume()"]
      volumes: ["data:/var/lib/data", "secrets:/run/secrets:ro"]
      mem_limit: 256m
      stop_grace_period: 5m  # longer than a job
      restart: unless-stopped

After `make deploy`, `docker compose up --detach jobs` replaces the consumer. Jobs can wait across a deploy: keep the
name and the parameters of a job until no job of the earlier release is left. A job that is killed is lost, because huey
removes a job from the queue before it runs it. On several machines, use RedisHuey.

Run: `python -m recipes.jobs`, which runs the consumer too, and `curl -i -X POST localhost:8000/reports`.
Needs: huey (requirements/recipes.txt).
"""
# pyright: basic
# huey has no types.

import re
import sys
import time
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from subprocess import Popen
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIEnvironment

from huey import SqliteHuey
from huey.api import TaskWrapper

from app.log import configure_logging
from app.response import dump, error, not_found, whole
from app.settings import settings
from recipes import serve, site

WAITING = 1000  # jobs at most; the next ones get 503
WORK = 2  # seconds that the example takes


@cache
def queue() -> SqliteHuey:
    """Return the queue, in a file that the app and the consumers share. It holds pickles: only the app may write it."""
    settings().data_dir.mkdir(parents=True, exist_ok=True)
    return SqliteHuey(filename=settings().data_dir / "jobs.sqlite3", results=False)


@cache
def report_job() -> TaskWrapper:
    """Return the job: `report_job()(identity)` puts one into the queue. A failed one is run twice more."""
    return queue().task(retries=2, retry_delay=5)(write_report)


def write_report(identity: str) -> None:
    """Write the report. Run it as often as you like: a job can be repeated."""
    time.sleep(WORK)
    file = report(identity)
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(dump({"id": identity, "release": settings().release}))
    part.replace(file)  # no request sees half a report


def report(identity: str) -> Path:
    """Return the file of a report."""
    return settings().data_dir / "reports" / f"{identity}.json"


def start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Start a job, and answer 202 with the address of its report; answer 503 if too many jobs wait."""
    if queue().pending_count() >= WAITING:
        return error(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, headers=[("Retry-After", "60")])
    identity = uuid4().hex
    report_job()(identity)
    location = ("Location", f"/reports/{identity}")
    return whole(start_response, dump({"id": identity}), "application/json", HTTPStatus.ACCEPTED, [location])


def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the report; answer 404 until the job has written it."""
    identity = environ["wsgiorg.routing_args"][1]["identity"]
    if not re.fullmatch(r"[0-9a-f]{32}", identity) or not report(identity).is_file():
        return not_found(environ, start_response)
    return whole(start_response, report(identity).read_bytes(), "application/json")


def consume() -> None:
    """Run jobs until SIGTERM, one at a time."""
    configure_logging()
    report_job()  # the consumer must know every job
    queue().create_consumer(max_delay=1, graceful_signal="TERM").run()


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/reports": {"POST": start}, "/reports/{identity}": {"GET": show}})

if __name__ == "__main__":
    with Popen([sys.executable, "-c", "from recipes.jobs import consume; consume()"]) as consumer:
        serve(application)
        consumer.terminate()
