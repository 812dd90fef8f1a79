"""Waits until a service runs what was asked for, because `docker stack deploy` returns before the engine starts."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deploy.docker import DeployError, last_logs
from deploy.swarm.engine import image, nodes, service, tag, tasks

REPLICA_SECONDS = 300  # within which the next replica must run; pulling a large image takes long
LOGGED = 2  # tasks whose log is shown
MOVING = ("updating", "rollback_started")
STOPPED = ("paused", "rollback_paused", "rollback_completed")


class Rollout:
    """The update of a service: create this before the command that starts it, and call begin() and wait() after it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.before = {task["ID"] for task in tasks(name)}
        self.asked: dict[str, Any] = {}

    def begin(self) -> None:
        """Note what the service shall run."""
        self.asked = service(self.name)["Spec"]["TaskTemplate"]

    def wait(self, wanted: str) -> None:
        """Wait until every replica runs the image `wanted`; raise DeployError if the engine rolls back, or gives up.

        The state of the update is not enough: the engine can report `completed` after a rollback. But the service then
        has another specification.
        """
        asked = self.asked
        for now, found in self.polls(REPLICA_SECONDS):
            status: dict[str, str] = now.get("UpdateStatus") or {}
            state = status.get("State", "")
            ours = [task for task in found if contents(task["Spec"]) == contents(asked)]
            if state in MOVING:
                continue
            if state in STOPPED or now["Spec"]["TaskTemplate"] != asked or image(now) != wanted:
                raise DeployError(
                    f"{self.name} has {tag(image(now))}, not {tag(wanted)}: {status.get('Message', 'it was replaced')}"
                    f"{self.reasons(ours)}"
                )
            expected = [task for task in found if task["DesiredState"] == "running"]
            if "Global" in now["Spec"]["Mode"]:  # the engine changes nothing on a paused node
                usable = {node.id for node in nodes() if node.is_usable}
                expected = [task for task in expected if task.get("NodeID") in usable]
                count = len(usable)
            else:
                count = now["Spec"]["Mode"]["Replicated"]["Replicas"]
            is_up = all(task in ours and task["Status"]["State"] == "running" for task in expected)
            if is_up and len(expected) >= count:
                return
            ended = [task for task in ours if task["DesiredState"] != "running" and task["ID"] not in self.before]
            if not state and len(ended) > count:  # the first update cannot be rolled back
                raise DeployError(f"{self.name} does not start{self.reasons(ours)}")

    def wait_for_job(self, seconds: int) -> str:
        """Wait until the job is complete, and return its output; raise DeployError if it fails."""
        for _, found in self.polls(seconds):
            ours = [task for task in found if task["ID"] not in self.before]
            states = {task["Status"]["State"] for task in ours}
            if states & {"failed", "rejected"}:
                raise DeployError(f"{self.name} failed{self.reasons(ours)}")
            if states == {"complete"}:
                return "".join(logs(task) for task in ours)
        return ""

    def polls(self, seconds: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield the service and its tasks every second; raise DeployError if no further task runs within `seconds`."""
        up: set[str] = set()
        deadline = time.monotonic() + seconds
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            found = tasks(self.name)
            if further := {task["ID"] for task in found if task["Status"]["State"] in ("running", "complete")} - up:
                up |= further
                deadline = time.monotonic() + seconds
            yield service(self.name), found
            time.sleep(1)
        raise DeployError(
            f"{self.name}: no further replica after {seconds} seconds; the engine keeps trying: follow it with "
            f"`make status`{self.reasons(found)}"
        )

    def reasons(self, found: list[dict[str, Any]]) -> str:
        """Return why new tasks among these failed, each reason once with its node, and the log of the first ones."""
        known = {node.id: node for node in nodes()}
        told: dict[str, dict[str, Any]] = {}
        for task in found:
            if task["ID"] not in self.before and (error := task["Status"].get("Err")):
                if "No such image" in error:
                    error += " (the node could not pull it: is its disk full, or the registry away?)"
                node = known.get(task.get("NodeID", ""))
                told.setdefault(f"{node.name if node else 'no node'}: {error}", task)
        # `docker service logs` waits for a node that is down.
        shown = [
            task for task in told.values() if (node := known.get(task.get("NodeID", ""))) and node.status == "Ready"
        ]
        return ": " * bool(told) + "; ".join(told) + "".join(f"\n{logs(task)}" for task in shown[:LOGGED])


def contents(specification: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the settings of a service's or a task's container. The engine adds empty ones to the service's."""
    settings = specification["ContainerSpec"] | specification.get("Resources", {})
    return [(name, value) for name, value in settings.items() if value]


def logs(task: dict[str, Any]) -> str:
    """Return the last log lines of a task, or "" if its node does not answer."""
    with suppress(DeployError):
        return last_logs("service", "logs", "--raw", task["ID"])
    return ""
