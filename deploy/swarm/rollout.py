"""Following what a swarm's engine does with a service to its end, since `docker stack deploy` only gives the order."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any, cast

from deploy.docker import Failure, docker

REPLICA_SECONDS = 300  # seconds until the next replica runs; a large image over a slow line takes its time


def service(name: str) -> dict[str, Any]:
    """Return what the engine knows of a service, or nothing where there is none."""
    if name not in docker("service", "ls", "--format", "{{.Name}}").split():
        return {}
    found: list[dict[str, Any]] = json.loads(docker("service", "inspect", name))
    return found[0]


def tasks(name: str) -> list[dict[str, Any]]:
    """Return the tasks of a service, with what the engine wants of each and what it does."""
    identities = docker("service", "ps", "--quiet", "--no-trunc", name).split()
    try:
        return json.loads(docker("inspect", "--type", "task", *identities)) if identities else []
    except Failure:
        return tasks(name)  # the engine has forgotten an old one since


def follow_job(name: str) -> None:
    """Return when the job, in its latest iteration, is done on every machine; raise Failure where it cannot be."""
    for found in waiting(name):
        iteration = service(name)["JobStatus"]["JobIteration"]
        ours = [task for task in found if task["JobIteration"] == iteration]
        states = [task["Status"]["State"] for task in ours if task["DesiredState"] in ("complete", "running")]
        if states and set(states) == {"complete"}:
            return
        if failed := [task for task in ours if task["Status"]["State"] in ("failed", "rejected")]:
            raise Failure(f"{name} has failed: {reasons(failed)}\n{logs(name)}")


def follow(name: str) -> None:
    """Return when the service runs as it should; raise Failure where the engine has gone back, or cannot start it."""
    for found in waiting(name):
        it = service(name)
        status = it.get("UpdateStatus", {})
        state = status.get("State", "")
        if state in ("rollback_completed", "rollback_paused", "paused"):
            raise Failure(f"{name}: {status['Message']}; {reasons(found)}\n{logs(name)}")
        now = [task for task in found if is_within(task["Spec"], it["Spec"]["TaskTemplate"])]
        wanted = [task for task in now if task["DesiredState"] == "running"]
        replicas = it["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 1)
        if state in ("", "completed") and len(wanted) >= replicas:
            if all(task["Status"]["State"] == "running" for task in wanted):
                return
            ended = [task for task in now if task["DesiredState"] != "running"]
            if not state and len(ended) > replicas:  # the first one: there is nothing to go back to
                raise Failure(f"{name} does not start: {reasons(ended)}\n{logs(name)}")


def is_within(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Tell whether a task was made from this template; the engine writes more into it, of what nothing was said."""
    return all(
        is_within(cast("dict[str, Any]", value), whole.get(key, {}))
        if isinstance(value, dict)
        else whole.get(key) == value
        for key, value in part.items()
    )


def waiting(name: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the service's tasks now and then; raise Failure when no further one has come up for too long."""
    up: set[str] = set()
    deadline = time.monotonic() + REPLICA_SECONDS
    while time.monotonic() < deadline:
        found = tasks(name)
        if further := {task["ID"] for task in found if task["Status"]["State"] in ("running", "complete")} - up:
            up |= further
            deadline = time.monotonic() + REPLICA_SECONDS
        yield found
        time.sleep(0.5)
    raise Failure(
        f"{name} has come no further in {REPLICA_SECONDS} seconds; the engine goes on trying: {reasons(tasks(name))}"
    )


def reasons(found: list[dict[str, Any]]) -> str:
    """Return why these tasks do not run, each reason once."""
    return "; ".join({task["Status"].get("Err", ""): None for task in found if task["Status"].get("Err")})


def logs(name: str) -> str:
    """Return the last lines that the service has logged."""
    command = ["docker", "service", "logs", "--raw", "--tail", "20", name]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
