"""`python -m tests.drills.kills [BACKEND [all]]`: kill a deploy at each of its steps in turn, and print a table.

The site is under load. The deploy is killed just before a step: a call of Docker, or the write, rename or sync of a
file. Then a plain `docker compose up`, and another deploy, have to find a consistent state.

A kill after a step that changes something is the kill before the next step. Without `all`, steps that only read and
that follow another such step are left out, because a kill there finds the same state.
"""

import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.server.launch import BACKENDS
from tests.drills.load import KINDS, load
from tests.stack.site import Site

FEW = tuple(replace(kind, clients=1) for kind in KINDS)
READS = re.compile(
    r"docker (compose( --env-file \S+)? config|compose --progress\S* --dry-run|container (ls|inspect|logs)|image ls"
    r"|exec|run .* - show)"
)


@dataclass(frozen=True)
class Killed:
    """A deploy that was killed, and the requests from then to the end of the next deploy."""

    number: int
    step: str
    requests: int
    failed: dict[str, int]
    complaints: list[str]

    def __str__(self) -> str:
        wrong = "; ".join([*(f"{count} {what}" for what, count in self.failed.items()), *self.complaints])
        step = re.sub(r" --\S+", "", self.step).replace("|", "")[:100]  # without its options
        return f"| {self.number} | `{step}` | {self.requests} | {wrong or 0} |"


def kill_at_each_step(site: Site, folder: Path, *, every: bool = False) -> Iterator[Killed]:
    """Kill a deploy of the site before each step, or before those that find another state, and yield what each cost."""
    steps = run(site, folder, 0)
    changes = [not READS.match(step) for step in steps]
    for number in range(1, len(steps) + 1):
        if not (every or changes[number - 1] or changes[number - 2]):
            continue
        with load(site.url, kinds=FEW) as clients:
            reached = run(site, folder, number)
            site.wait_for_lock()
            site.compose("up", "--detach", "--wait")
            complaints = [f"after up: {each}" for each in wrong(site)]
            site.make(RELEASE=f"after-{number % 2}")
            complaints += wrong(site)
        # The plan may be off by one: the first deploys have no old release to remove.
        yield Killed(number, reached[-1], len(clients.answers), dict(clients.outcomes()), complaints)


def run(site: Site, folder: Path, number: int) -> list[str]:
    """Run a deploy that is killed before this step, or never if it is 0, and return the steps that it reached."""
    steps = folder / "steps"
    settings = {"RELEASE": f"killed-{number}", "KILL_AT": str(number), "STEPS": str(steps)}
    with site.begin(module="tests.drills.kill_at", **settings) as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), output
    names = {f"killed-{number}": "NAME", site.project: "PROJECT", str(site.root): "FOLDER"}
    text = steps.read_text()
    for name, word in names.items():
        text = text.replace(name, word)
    return [re.sub(r"since \S+|\b[0-9a-f]{12}\b", "", step) for step in text.splitlines()]


def wrong(site: Site) -> list[str]:
    """Return what is wrong with a site that no deploy is working on."""
    found, version, env = [], site.version(), site.env()
    if (count := len(site.containers("app", one_off=False))) != 1:
        found.append(f"{count} app containers")
    if not {f"RELEASE={version['release']}", f"BACKEND={version['backend']}"} <= set(env.splitlines()):
        found.append(f"{version['release']} on {version['backend']} is live, and .env says {env!r}")
    return found


def main() -> None:
    """Print the table for each backend; exit 1 if a request failed, or anything else was wrong."""
    is_wrong = False
    for backend in sys.argv[1:2] or BACKENDS:
        print(f"\n{backend}\n\n| Step | Killed before | Requests | Failed |\n| --- | --- | --- | --- |", flush=True)
        with tempfile.TemporaryDirectory() as tree, tempfile.TemporaryDirectory() as folder:
            site = Site(backend, "-kills", Path(tree))
            site.environ["WATCH_SECONDS"] = "1"
            try:
                site.make(RELEASE="first")
                for killed in kill_at_each_step(site, Path(folder), every="all" in sys.argv):
                    print(killed, flush=True)
                    is_wrong = is_wrong or bool(killed.failed or killed.complaints)
            finally:
                site.down()
    sys.exit(is_wrong)


if __name__ == "__main__":
    main()
