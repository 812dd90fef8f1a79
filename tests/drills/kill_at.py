"""`python -m tests.drills.kill_at COMMAND`: run a command of deploy/release, and kill it (SIGNAL) before step KILL_AT.

A step is a call of Docker, or the write, rename or sync of a file. Each is written to the file STEPS, one a line.
KILL_AT is the number of a step, or the step.
"""

import os
import re
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

STEPS, KILL_AT = Path(os.environ["STEPS"]), os.environ["KILL_AT"]
SIGNAL = int(os.environ.get("SIGNAL", signal.SIGKILL))
steps: list[str] = []


def kill(event: str, arguments: tuple[Any, ...]) -> None:
    """Record a step, and kill this process if it is the one."""
    match event, arguments:
        case "subprocess.Popen", (_, command, *_):
            step = " ".join(command)
        case "open", (str() | Path() as path, str(mode), _) if "w" in mode and Path(path) != STEPS:
            step = f"write {Path(path).name}"
        case "open", (str() | Path() as path, None, _) if Path(path).is_dir():
            step = "sync the folder"
        case "os.rename", (path, target, *_):
            step = f"rename {Path(path).name} to {Path(target).name}"
        case _:
            return
    step = re.sub(r"[0-9a-f]{64}", "ID", " ".join(step.split()))
    if step not in steps[-2:]:  # so the loops that wait count once
        steps.append(step)
        STEPS.write_text("\n".join(steps))
        if KILL_AT in (step, str(len(steps))):
            os.kill(os.getpid(), SIGNAL)


sys.addaudithook(kill)
runpy.run_module("deploy.release", run_name="__main__")
