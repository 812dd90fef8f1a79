"""`make new NAME=shortener`: the clone has its own name and history."""

import subprocess
import sys

import pytest

from tests.tree import commit, copy_project
from tests.unit.fork.test_without import check, run

pytestmark = pytest.mark.slow

NAMES = ("wsgi-starter", "Plain WSGI", "plain wsgi</a>", "wsgi_starter")


def new(folder, *arguments):
    line = [sys.executable, "-m", "deploy.fork.new", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return the folder of a clone of the template: two commits and a tag."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")
    copy_project(tmp_path)
    commit(tmp_path)
    run(tmp_path, "git", "commit", "--quiet", "--allow-empty", "--message=second")
    run(tmp_path, "git", "tag", "v1.0.0")
    return tmp_path


def test_clone_gets_a_name_and_a_history_of_its_own(clone):
    tree = run(clone, "git", "rev-parse", "HEAD^{tree}")
    ended = new(clone, "shortener")
    assert ended.returncode == 0, ended.stderr
    assert run(clone, "git", "log", "--format=%s|%b").split("|") == [
        "Start shortener",
        f"Template: {tree}Name: shortener\nTitle: Shortener\nHolder: The shortener authors\n\n",
    ]
    assert run(clone, "git", "status", "--porcelain") == run(clone, "git", "tag") == ""
    for name in NAMES:
        assert subprocess.run(["git", "grep", "-I", name], cwd=clone, stdout=subprocess.PIPE, check=False).stdout == b""
    assert 'name = "shortener"\nversion = "0"\n' in (clone / "pyproject.toml").read_text()
    assert {path.name for path in clone.glob("*.md")} == {"README.md"}
    assert not (clone / ".github" / "ISSUE_TEMPLATE").exists()
    assert " The shortener authors\n" in (clone / "LICENSE").read_text()
    assert "Shortener" in (clone / "README.md").read_text().splitlines()[0]
    assert "<title>{% block title %}Shortener{% endblock %}</title>" in (clone / "app/templates/base.html").read_text()
    check(clone, "tests/unit/test_documentation.py", "tests/app/unit/test_pages.py")


def test_title_and_holder_can_be_named(clone):
    assert new(clone, "go-links", "Go, links", "Ada Lovelace").returncode == 0
    assert " Ada Lovelace\n" in (clone / "LICENSE").read_text()
    assert '"name": "Go, links",' in (clone / "app/static/root/site.webmanifest").read_text()


def test_history_of_a_repository_with_one_commit_is_kept(clone):
    run(clone, "git", "checkout", "--quiet", "--orphan", "mine")
    run(clone, "git", "commit", "--quiet", "--message=Initial commit")
    assert new(clone, "shortener").returncode == 0
    assert run(clone, "git", "log", "--format=%s") == "Start shortener\nInitial commit\n"
    assert run(clone, "git", "tag") == "v1.0.0\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a b"], "NAME is 'a b': it must be lower-case letters, digits and hyphens"),
        ([""], "NAME is '': it must be lower-case letters, digits and hyphens"),
        (["Shortener"], "NAME is 'Shortener': it must be lower-case letters, digits and hyphens"),
        (["a-"], "NAME is 'a-': it must be lower-case letters, digits and hyphens"),
        (["a\n"], "NAME is 'a\\n': it must be lower-case letters, digits and hyphens"),
        (["a", "<b>"], "TITLE is '<b>': it must not contain <>&\"'{} or \\"),
    ],
)
def test_bad_name_is_refused(arguments, sentence, clone):
    ended = new(clone, *arguments)
    assert (ended.returncode, ended.stderr) == (1, f"fork: {sentence}; nothing was changed\n")
    assert run(clone, "git", "status", "--porcelain") == ""
    assert run(clone, "git", "log", "--format=%s") == "second\ncopy\n"


@pytest.mark.parametrize("name", ["README.md", "mine.txt"])
def test_uncommitted_changes_are_kept(name, clone):
    (clone / name).write_text("mine\n")
    ended = new(clone, "shortener")
    assert ended.stderr == f"fork: commit or remove your changes first, {name} for example; nothing was changed\n"
    assert (clone / name).read_text() == "mine\n"
    assert "wsgi-starter" in (clone / "pyproject.toml").read_text()


def test_missing_identity_is_refused(clone, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_NAME", "")
    ended = new(clone, "shortener")
    assert ended.returncode == 1
    assert ended.stderr.startswith("fork: git var failed, and nothing was changed: ")
    assert run(clone, "git", "status", "--porcelain") == ""
