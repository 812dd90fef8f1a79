"""`make without PART=...`: each optional part can be removed, and what remains is complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.fork.without import PARTS, without
from tests.tree import ROOT, commit, copy_project

pytestmark = pytest.mark.slow

PRESENT = [part for part, (first, *_) in PARTS.items() if (ROOT / first).exists() and part != "template"]
BIN = Path(sys.prefix) / "bin"
# In process, and fast: these find a link, a command, a setting or an import that names what was removed.
QUICK = ["tests/unit/test_documentation.py", "tests/unit/test_consistency.py", "tests/unit/test_structure.py"]


def run(folder, *line):
    environ = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    ended = subprocess.run(line, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{line}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def remove(folder, *parts):
    line = [sys.executable, "-m", "deploy.fork.without", *parts]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def fork(tmp_path):
    """Return the folder of a copy of the project, a git repository with one commit."""
    copy_project(tmp_path)
    commit(tmp_path)
    return tmp_path


def check(folder, *tests):
    """Run the linters and these tests on a fork."""
    if (BIN / "ruff").exists():
        run(folder, "ruff", "format", "--check", "--quiet", ".")
        run(folder, "ruff", "check", "--quiet", ".")
    run(folder, sys.executable, "-m", "deploy.fork.settings", "check")
    run(folder, sys.executable, "-m", "pytest", "--quiet", "-n0", *tests)


@pytest.mark.parametrize(
    "server",
    [
        "gunicorn",  # only with gunicorn
        pytest.param("uwsgi", marks=pytest.mark.nightly),  # only with uwsgi
    ],
)
def test_what_remains_without_all_parts_is_complete(server, fork):
    parts = [part for part in PRESENT if part != server]
    removed = remove(fork, *parts)
    assert removed.returncode == 0, removed.stderr
    assert not [path for part in parts for path in PARTS[part] if (fork / path).exists()]
    check(fork, *QUICK)
    assert f"PART is {parts[0]!r}" in remove(fork, parts[0]).stderr
    assert remove(fork, server).stderr == "fork: PART names every server: one must stay; nothing was changed\n"


# begin gunicorn
# begin uwsgi
def test_one_server_must_stay(fork):
    ended = remove(fork, "gunicorn", "uwsgi")
    assert ended.stderr == "fork: PART names every server: one must stay; nothing was changed\n"
    assert run(fork, "git", "status", "--porcelain") == ""


# end uwsgi
# end gunicorn
@pytest.mark.nightly
@pytest.mark.parametrize("part", PRESENT)
def test_all_tests_in_process_pass_without_a_part(part, fork):
    assert remove(fork, part).returncode == 0
    if (BIN / "mypy").exists():
        run(fork, "mypy")
    folders = [
        name for name in ("tests/unit", "tests/app/unit", "tests/swarm/unit", "tests/recipes") if (fork / name).exists()
    ]
    check(fork, *folders, "--ignore=tests/unit/fork", "--ignore=tests/unit/test_fork.py")


@pytest.mark.parametrize("name", ["typo", "", f"{PRESENT[0]} typo"])
def test_other_name_is_refused_with_the_list_of_parts(name, fork):
    ended = remove(fork, *name.split())
    assert ended.returncode == 1
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith(
        "fork: PART is 'typo': it must be one of " if name else "fork: PART is empty: it must be one of "
    )
    assert all(part in sentence for part in PRESENT)
    assert run(fork, "git", "status", "--porcelain") == ""


def test_uncommitted_changes_are_kept(fork):
    (fork / "README.md").write_text("mine\n")
    ended = remove(fork, PRESENT[0])
    [sentence] = ended.stderr.splitlines()
    assert sentence == "fork: commit or remove your changes first, README.md for example; nothing was changed"
    assert (fork / PARTS[PRESENT[0]][0]).exists()
    assert (fork / "README.md").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\n  # begin x\nb\n# end x\nc\n", "a\nc\n"),
        ("a\n{#- begin x #}\nb\n{#- end x #}\n", "a\n"),
        ("a\n/* begin x */\nb\n/* end x */\nc\n", "a\nc\n"),
        ("a\n// begin x\nb\n// end x\nc\n", "a\nc\n"),
        ("| a | b <!-- only with x --> |\n| c | d |\n", "| c | d |\n"),
        ("a  # only with y, x\nb  # only with y\n", "b  # only with y\n"),
        ("# begin x\na\n# end x\nb\n# begin x\nc\n# end x\n", "b\n"),
        ("# begin xy\na\n# end xy\n", "# begin xy\na\n# end xy\n"),
        ("a # only with x and more words.\n", "a # only with x and more words.\n"),
        ("a\n\n\n# begin x\nb\n# end x\n", "a\n"),
    ],
)
def test_marked_lines_are_removed(text, kept):
    assert without("x", text) == kept
