"""A fork makes every change of the documentation, and stays complete: linters, tests, and a site on both backends."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.fork.changes import CHANGES, LAST, apply
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.site import other
from tests.tree import ROOT, commit, copy_project

pytestmark = pytest.mark.slow

BIN = Path(sys.prefix) / "bin"
MODULES = "tests/linters/node_modules"
HEAD = "| Change | Places | At most | Files written by the command | Seconds |\n| --- | --- | --- | --- | --- |"
QUICK = ("tests/unit/test_structure.py", "tests/unit/test_consistency.py", "tests/app/unit")
FOLDERS = ("tests/unit", "tests/app/unit", "tests/swarm/unit")


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
    (folder / MODULES).symlink_to(ROOT / MODULES)
    (folder / ".git/info/exclude").write_text(f".venv\n{MODULES}\n")
    return folder


def check(folder, *tests):
    """Run all linters, if they are installed, and tests in process; by default all of them."""
    if (BIN / "ruff").exists():
        run(folder, "ruff", "check", "--quiet", "--fix", "app")  # as docs/development.md says of a copied recipe
        run(folder, "ruff", "format", "--quiet", ".")  # as `make lint` says
    if (BIN / "mypy").exists() and (folder / MODULES).exists():
        run(folder, "make", "lint", *(f"--old-file=.venv/{group}" for group in ("lint", "node")))
    tests = tests or [name for name in FOLDERS if (folder / name).exists()]
    run(folder, sys.executable, "-m", "pytest", "--quiet", "-n2", "--dist=loadgroup", "-m", "not nightly", *tests)


def visit(stack):
    """Start the site in production mode, and use the pages of the fork."""
    require(stack.kind, stack.backend)
    try:
        stack.up()
        answer = httpx.get(f"{stack.url}/team")
        assert (answer.status_code, answer.headers["X-Team"]) == (200, "Blue")
        assert "Grace" in answer.text
        assert "/static/logo." in answer.text
        assert httpx.delete(f"{stack.url}/team/ada").text == "gone"
        entry = {"name": "Ada", "message": "I was here."}
        assert httpx.post(f"{stack.url}/entries", json=entry).status_code == 201
        assert httpx.get(f"{stack.url}/readyz").json()["checks"] == {"database": True}
    finally:
        stack.down()


def docker(folder, backend):
    """Return a stack of containers with PostgreSQL."""
    files = ("docker-compose.yml", "deploy/postgres/postgres.yml")
    command = "alembic -c app/database/alembic.ini upgrade head"
    return ComposeStack(backend, "-fork", files=files, root=folder, TEAM_NAME="Blue", RELEASE_COMMAND=command)


@pytest.mark.nightly
def test_every_documented_change_touches_few_places(clone, tmp_path, capsys):
    rows, began = [], time.monotonic()

    def timed(name, action, *arguments):
        started = time.monotonic()
        result = action(*arguments)
        rows.append(f"| {name} | {result or ''} | {time.monotonic() - started:.0f} |")

    def change(each, folder):
        touched, written = apply(each, folder)
        assert touched <= each.most or each.most == 0, (each.name, touched)
        return f"{touched} | {each.most} | {written}"

    nothing = " | | "
    try:
        for each in CHANGES:
            timed(each.name, change, each, clone)
        for backend in BACKENDS:
            stack = LocalStack(backend, root=clone, TEAM_NAME="Blue")
            timed(f"pages on {backend}", lambda on=stack: visit(on) or nothing)
        rows.append(f"| until here | {nothing} | {time.monotonic() - began:.0f} |")
        timed("linters and tests", lambda: check(clone) or nothing)
        run(clone, "git", "commit", "--quiet", "--all", "--message=Format")
        for server, each in LAST.items() if len(LAST) > 1 else ():
            fork = tmp_path / server
            shutil.copytree(clone, fork, symlinks=True)
            timed(each.name, change, each, fork)
            timed(f"linters and tests without {server}", lambda on=fork: check(on, *QUICK) or nothing)
            stack = docker(fork, other(server))
            timed(f"pages in Docker without {server}", lambda on=stack: visit(on) or nothing)
    finally:
        with capsys.disabled():
            sys.stdout.write("\n".join(["", HEAD, *rows, ""]))


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
