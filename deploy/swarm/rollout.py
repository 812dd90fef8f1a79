"""Waits for the rollout of a service, because `docker stack deploy` returns before the engine starts it."""

import json
import time
from collections.abc import Iterator
from typing import Any, cast

from deploy.docker import DeployError, docker, last_logs

REPLICA_SECONDS = 300  # within which the next replica must run; pulling a large image takes long


def service(name: str) -> dict[str, Any]:
    """Return the engine's description of a service, or {} if it does not exist."""
    if name not in docker("service", "ls", "--format", "{{.Name}}").split():
        return {}
    found: list[dict[str, Any]] = json.loads(docker("service", "inspect", name))
    return found[0]


def tasks(name: str) -> list[dict[str, Any]]:
    """Return the tasks of a service, each with its desired and its actual state."""
    identities = docker("service", "ps", "--quiet", "--no-trunc", name).split()
    try:
        return json.loads(docker("inspect", "--type", "task", *identities)) if identities else []
    except DeployError:
        return tasks(name)  # the engine removed an old task between the two commands


def wait_for_job(name: str, seconds: int = REPLICA_SECONDS) -> None:
    """Wait until the latest iteration of a job is complete on every node; raise DeployError if it fails on one."""
    for found in waiting(name, seconds):
        iteration = service(name)["JobStatus"]["JobIteration"]
        ours = [task for task in found if task["JobIteration"] == iteration]
        states = [task["Status"]["State"] for task in ours if task["DesiredState"] in ("complete", "running")]
        if states and set(states) == {"complete"}:
            return
        if failed := [task for task in ours if task["Status"]["State"] in ("failed", "rejected")]:
            raise DeployError(f"{name} failed: {errors(failed)}\n{logs(name)}")


def wait_for_update(name: str) -> None:
    """Wait until the service is updated; raise DeployError if the engine rolls back, pauses or cannot start it."""
    for found in waiting(name):
        now = service(name)
        status = now.get("UpdateStatus", {})
        state = status.get("State", "")
        if state in ("rollback_completed", "rollback_paused", "paused"):
            raise DeployError(f"{name}: {status['Message']}; {errors(found)}\n{logs(name)}")
        current = [task for task in found if is_within(task["Spec"], now["Spec"]["TaskTemplate"])]
        wanted = [task for task in current if task["DesiredState"] == "running"]
        replicas = now["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 1)
        if state in ("", "completed") and len(wanted) >= replicas:
            if all(task["Status"]["State"] == "running" for task in wanted):
                return
            ended = [task for task in current if task["DesiredState"] != "running"]
            if not state and len(ended) > replicas:  # the first update cannot be rolled back
                raise DeployError(f"{name} does not start: {errors(ended)}\n{logs(name)}")


def is_within(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Return whether a task was made from this template, to which the engine adds defaults."""
    return all(
        is_within(cast("dict[str, Any]", value), whole.get(key, {}))
        if isinstance(value, dict)
        else whole.get(key) == value
        for key, value in part.items()
    )


def waiting(name: str, seconds: int = REPLICA_SECONDS) -> Iterator[list[dict[str, Any]]]:
    """Yield the service's tasks twice a second; raise DeployError if no further task runs within so many seconds."""
    up: set[str] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = tasks(name)
        if further := {task["ID"] for task in found if task["Status"]["State"] in ("running", "complete")} - up:
            up |= further
            deadline = time.monotonic() + seconds
        yield found
        time.sleep(0.5)
    raise DeployError(
        f"{name}: no further replica after {seconds} seconds; the engine keeps trying: {errors(tasks(name))}"
    )


def errors(found: list[dict[str, Any]]) -> str:
    """Return the errors of these tasks, each once."""
    return "; ".join({task["Status"].get("Err", ""): None for task in found if task["Status"].get("Err")})


def job_logs(name: str) -> str:
    """Return the last log lines of the latest iteration of a job, without those of earlier ones."""
    iteration = service(name)["JobStatus"]["JobIteration"]
    return "".join(logs(task["ID"]) for task in tasks(name) if task["JobIteration"] == iteration)


def logs(name: str) -> str:
    """Return the last log lines of a service or a task."""
    return last_logs("service", "logs", "--raw", name)
