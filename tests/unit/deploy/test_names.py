"""The name of a release: the rule for it, and the default, the commit with or without the time."""

import re
import subprocess

import pytest

from deploy.docker import DeployError
from deploy.release import names

TIME = r"\d{8}-\d{6}"


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Return a function that runs git in the working folder, a repository with one commit."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")

    def run(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    run("init")
    (tmp_path / "file").write_text("1")
    run("add", "file")
    run("commit", "--message", "one")
    return run


def test_clean_tree_is_named_for_its_commit_then_also_for_the_time(git):
    commit = git("rev-parse", "--short", "HEAD")
    first, second = names.defaults()
    assert first == commit
    assert re.fullmatch(f"{commit}-{TIME}", second)


@pytest.mark.parametrize("path", ["file", "another"])
def test_changed_tree_is_named_for_its_commit_and_the_time(path, git, tmp_path):
    (tmp_path / path).write_text("2")
    [name] = names.defaults()
    assert re.fullmatch(f"{git('rev-parse', '--short', 'HEAD')}-{TIME}", name)


def test_tree_without_a_repository_is_named_for_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [name] = names.defaults()
    assert re.fullmatch(TIME, name)


def test_tree_without_git_is_named_for_the_time(git, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    [name] = names.defaults()
    assert re.fullmatch(TIME, name)


@pytest.mark.parametrize("name", ["", "1", "v1.2-rc_3", "_", "x" * 100])
def test_allowed_name_is_returned(name, monkeypatch):
    monkeypatch.setenv("RELEASE", name)
    assert names.requested() == name


@pytest.mark.parametrize("name", ["dev", "candidate", "-x", ".x", "a b", "a:b", "../x", "é", "x" * 101])
def test_other_name_is_refused(name):
    with pytest.raises(DeployError, match=f"^RELEASE is {re.escape(repr(name))}: it must be "):
        names.check(name)
