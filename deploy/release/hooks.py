"""Runs the fork's hooks: the executables before-build, before-promotion and after-promotion in deploy/hooks."""

import os
import subprocess
from pathlib import Path

from deploy.docker import Container, DeployError, Release, log

FOLDER = Path("deploy/hooks")


def run_hook(name: str, release: Release, live: Container | None) -> None:
    """Run a hook, which gets the release and the live one in its environment; raise DeployError if it fails."""
    path = FOLDER / name
    if not path.exists():
        return
    log(f"running {path}")
    settings = {"RELEASE": release.name, "BACKEND": release.backend}
    settings |= {"LIVE_RELEASE": live.release.name, "LIVE_BACKEND": live.release.backend} if live else {}
    try:
        ended = subprocess.run([path.absolute()], env=os.environ | settings, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise DeployError(f"{path} cannot be run: {error.strerror}: it must be executable and begin with #!") from error
    if ended.returncode:
        raise DeployError(f"{path} failed with exit code {ended.returncode}")
