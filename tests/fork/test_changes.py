"""A fork makes every change of the documentation, and stays complete: linters, tests, and a site on both backends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.fork.changes import CHANGES, apply
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.tree import commit, copy_project

pytestmark = pytest.mark.slow

BIN = Path(sys.prefix) / "bin"
TESTS = ["tests/unit/app", "tests/unit/test_structure.py", "tests/unit/test_consistency.py", "tests/app/unit"]


def run(folder, *line):
    environ = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    ended = subprocess.run(line, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{line}: {ended.stdout}{ended.stderr}"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return the folder of a clone with two commits, in which make finds the installed packages."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")
    folder = tmp_path / "clone"
    copy_project(folder)
    commit(folder)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "--message=second"], cwd=folder, check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / ".git/info/exclude").write_text(".venv\n")
    return folder


def lint(folder):
    if (BIN / "ruff").exists():
        run(folder, "ruff", "format", "--quiet", ".")
        run(folder, "ruff", "check", "--quiet", ".")
    if (BIN / "mypy").exists():
        run(folder, "mypy")


def visit(folder, backend):
    """Return the seconds from the start of the site in production mode to its first own page."""
    require(LocalStack.kind, backend)
    began = time.monotonic()
    stack = LocalStack(backend, root=folder, TEAM_NAME="Blue")
    stack.up()
    try:
        answer = httpx.get(f"{stack.url}/team")
        assert (answer.status_code, answer.headers["X-Team"]) == (200, "Blue")
        assert "Grace" in answer.text
        assert "/static/logo." in answer.text
        assert httpx.delete(f"{stack.url}/team/ada").text == "gone"
    finally:
        seconds = time.monotonic() - began
        stack.down()
    return seconds


@pytest.mark.nightly
def test_every_documented_change_touches_few_places(clone, capsys):
    rows, began = [], time.monotonic()
    for change in CHANGES:
        started = time.monotonic()
        touched, written = apply(change, clone)
        rows.append(f"| {change.name} | {touched} | {change.most} | {written} | {time.monotonic() - started:.1f} |")
        assert touched <= change.most or change.most == 0, rows[-1]
    started = time.monotonic()
    lint(clone)
    run(clone, sys.executable, "-m", "pytest", "--quiet", "-n0", *TESTS)
    rows.append(f"| linters and tests | | | | {time.monotonic() - started:.1f} |")
    rows += [f"| first page on {backend} | | | | {visit(clone, backend):.1f} |" for backend in BACKENDS]
    rows.append(f"| all | | | | {time.monotonic() - began:.1f} |")
    with capsys.disabled():
        head = "| Change | Places | At most | Files written by the command | Seconds |\n| --- | --- | --- | --- | --- |"
        sys.stdout.write("\n".join(["", head, *rows, ""]))


def test_route_setting_and_middleware_of_a_fork_keep_the_tests_green(clone):
    for change in CHANGES:
        if change.command[:2] != ("make", "lock"):
            apply(change, clone)
    run(
        clone,
        sys.executable,
        "-m",
        "pytest",
        "--quiet",
        "-n0",
        "tests/unit/test_structure.py",
        "tests/app/unit/test_team.py",
    )
