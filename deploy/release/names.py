"""The name of a release: the rule for it, and the default."""

import os
import re
import subprocess
from datetime import UTC, datetime

from deploy.docker import DeployError


def check(name: str) -> str:
    """Return `name` if it is allowed, or empty; otherwise raise DeployError."""
    if name and (name in ("dev", "candidate") or not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII)):
        raise DeployError(
            f"RELEASE is {name!r}: it must be at most 100 letters, digits, '_', '.' and '-', "
            "not start with '.' or '-', and not be dev or candidate"
        )
    return name


def requested() -> str:
    """Return the name in RELEASE, or "" if it is not set; raise DeployError if it is not allowed."""
    return check(os.environ.get("RELEASE", ""))


def defaults() -> list[str]:
    """Return the names to try in turn: the commit, if nothing has changed since, then the commit with the time."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        commit, changes = (
            subprocess.run(["git", *command], capture_output=True, text=True, check=True).stdout.strip()
            for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return [now]
    return [f"{commit}-{now}"] if changes else [commit, f"{commit}-{now}"]
