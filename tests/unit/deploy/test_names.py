"""What a release is called: its commit where that says it all, and else the commit and the time."""

import re
import subprocess

import pytest

from deploy.release.names import names

TIME = r"\d{8}-\d{6}"


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Return a function that runs git in a repository of one commit, in which the test is."""
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


def test_a_clean_tree_is_its_commit_and_if_that_is_taken_has_the_time_behind_it(git):
    commit = git("rev-parse", "--short", "HEAD")
    first, second = names()
    assert first == commit
    assert re.fullmatch(f"{commit}-{TIME}", second)


@pytest.mark.parametrize("path", ["file", "another"])
def test_a_changed_tree_always_has_the_time_behind_it(path, git, tmp_path):
    (tmp_path / path).write_text("2")
    [name] = names()
    assert re.fullmatch(f"{git('rev-parse', '--short', 'HEAD')}-{TIME}", name)


def test_without_a_commit_there_is_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [name] = names()
    assert re.fullmatch(TIME, name)


def test_without_git_there_is_the_time(git, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    [name] = names()
    assert re.fullmatch(TIME, name)
