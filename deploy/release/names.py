"""What the next release is called."""

import os
import re
import subprocess
from datetime import UTC, datetime

from deploy.docker import Failure


def asked_for() -> str:
    """Return the name that RELEASE gives to the release, or nothing; raise Failure for one that cannot be."""
    wanted = os.environ.get("RELEASE", "")
    if wanted and (wanted in ("dev", "candidate") or not re.fullmatch(r"\w[\w.-]{0,99}", wanted, re.ASCII)):
        raise Failure(f"RELEASE is {wanted!r}: it must be letters, digits, '_', '.' and '-', and not dev or candidate")
    return wanted


def names() -> list[str]:
    """Return the names to try for today's tree: its commit if that says it all, and then one with the time behind."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        commit = git("rev-parse", "--short", "HEAD")
        changes = git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return [now]
    return [f"{commit}-{now}"] if changes else [commit, f"{commit}-{now}"]


def git(*arguments: str) -> str:
    """Run git and return what it prints."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
