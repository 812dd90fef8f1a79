"""Copies of the project, as it is or with the reference application in place of the fork's own.

tests/reference/ has the application's routes, pages and static files for the template's tests, and the load test's
scenarios. Its files replace those of the same name. So no test of the template depends on the fork's pages.
"""

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORKS = ("app/handlers", "app/static", "app/templates")  # folders in which a fork adds and removes files
KEPT = ("__init__.py", "health.py", "static.py")  # the template's own handlers


def copy_project(folder: Path) -> None:
    """Copy the project's files, but none that git ignores, to the folder."""
    # git otherwise refuses a folder of another user, as CI's can be.
    listing = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in listed.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its time, by which make compares it


def copy_reference(folder: Path) -> None:
    """Copy the project, with the reference application in place of the fork's, to the folder."""
    copy_project(folder)
    remove_pages(folder)
    shutil.copytree(folder / "tests" / "reference", folder, dirs_exist_ok=True)


def remove_pages(folder: Path) -> None:
    """Remove the fork's handlers, templates and static files from a copy of the project."""
    for path in (path for fork in FORKS for path in (folder / fork).rglob("*")):
        if path.is_file() and not (path.parent.name == "handlers" and path.name in KEPT):
            path.unlink()


@cache
def reference_tree() -> Path:
    """Return a copy with the reference application, for tests that only read it; the process removes it at its end."""
    folder = Path(tempfile.mkdtemp(prefix="reference-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # a test runs a server as another user
    copy_reference(folder)
    (folder / ".venv").symlink_to(sys.prefix)  # for make
    return folder


def commit(folder: Path) -> None:
    """Make the copy a git repository with one commit."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=copy"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
