"""`python -m tests.drills.kills [BACKEND [quick]]`: kill a deploy at each of its steps in turn, and print a table.

The site is under load. A `docker` first on the PATH kills the deploy at one call of Docker: before the call, or after
it if the call changes something. Then a plain `docker compose up`, and another deploy, have to find a consistent state.
"""

import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.server.launch import BACKENDS
from tests.drills.load import KINDS, load
from tests.stack.site import Site

# A step is a call that is not among the last two steps: so the loops that wait count once.
SHIM = r"""#!/bin/sh
parent=$PPID
step=$(printf '%s' "$*" | tr '\n' ' ' | sed 's/[0-9a-f]\{64\}/ID/g')
if ! tail -n 2 FOLDER/steps | grep -qxF -e "$step"; then
    printf '%s\n' "$step" >>FOLDER/steps
    read -r number when <FOLDER/kill
    if [ "$(wc -l <FOLDER/steps)" = "$number" ]; then
        if [ "$when" = after ]; then DOCKER "$@" >/dev/null 2>&1; fi
        kill -9 "$parent"
        exit 1
    fi
fi
exec DOCKER "$@"
"""
FEW = tuple(replace(kind, clients=1) for kind in KINDS)
CHANGES = ("compose build", "tag", "compose run", "compose up", "update", "start", "run", "stop", "rm", "image rm")


@dataclass(frozen=True)
class Killed:
    """A deploy that was killed, and the requests from then to the end of the next deploy."""

    number: int
    step: str
    when: str
    requests: int
    failed: dict[str, int]
    complaints: list[str]

    def __str__(self) -> str:
        step = self.step.replace("|", "")[:110]
        wrong = "; ".join([*(f"{count} {what}" for what, count in self.failed.items()), *self.complaints])
        return f"| {self.number} | {self.when} | `{step}` | {self.requests} | {wrong or 0} |"


def kill_at_each_step(site: Site, folder: Path, *, quick: bool = False) -> Iterator[Killed]:
    """Kill a deploy of the site at each step, and yield what each cost.

    With `quick`, steps that change nothing come last, and are followed by `docker compose up` only.
    """
    shim = folder / "docker"
    shim.write_text(SHIM.replace("DOCKER", str(shutil.which("docker"))).replace("FOLDER", str(folder)))
    shim.chmod(0o755)
    steps = run(site, folder, "all", "0 never")
    turns = [
        (number, step, when)
        for when in ("before", "after")
        for number, step in enumerate(steps, 1)
        if when == "before" or (step.startswith(CHANGES) and "echo locked" not in step)
    ]
    if quick:
        turns.sort(key=lambda turn: not turn[1].startswith(CHANGES))
    for number, step, when in turns:
        with load(site.url, kinds=FEW) as clients:
            # The plan may be off by one: the first deploys have no old release to remove.
            at = run(site, folder, f"{number}-{when}", f"{number} {when}")[-1]
            site.wait_for_lock()
            site.compose("up", "--detach", "--wait")
            complaints = [f"after up: {each}" for each in wrong(site)]
            if not quick or step.startswith(CHANGES):
                site.make(RELEASE=f"after-{number % 2}-{when}")
                complaints += wrong(site)
        yield Killed(number, at, when, len(clients.answers), dict(clients.outcomes()), complaints)


def run(site: Site, folder: Path, name: str, kill: str) -> list[str]:
    """Run a deploy that is killed at a step, or never, and return the steps that it began."""
    (folder / "kill").write_text(f"{kill}\n")
    (folder / "steps").write_text("")
    with site.begin(RELEASE=f"killed-{name}", PATH=f"{folder}:{site.environ['PATH']}") as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL), output
    steps = (
        (folder / "steps").read_text().replace(f"killed-{name}", "NAME").replace(site.project, "PROJECT").splitlines()
    )
    return [re.sub(r"since \S+|\b[0-9a-f]{12}\b", "", step) for step in steps]


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
        print(f"\n{backend}\n\n| Step | Killed | Call of Docker | Requests | Failed |\n| --- | --- | --- | --- | --- |")
        with tempfile.TemporaryDirectory() as tree, tempfile.TemporaryDirectory() as folder:
            site = Site(backend, "-kills", Path(tree))
            site.environ["WATCH_SECONDS"] = "1"
            try:
                site.make(RELEASE="first")
                for killed in kill_at_each_step(site, Path(folder), quick="quick" in sys.argv):
                    print(killed, flush=True)
                    is_wrong = is_wrong or bool(killed.failed or killed.complaints)
            finally:
                site.down()
    sys.exit(is_wrong)


if __name__ == "__main__":
    main()
