"""The docker commands: a time limit for each, and failures in one sentence."""

import os
import subprocess
import sys

import pytest

from deploy.docker import DeployError, docker, log
from tests.tree import ROOT


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return the path of a `docker` that the test writes."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = tmp_path / "docker"
    path.touch(0o755)
    return path


def test_command_that_hangs_is_killed_and_named(command):
    command.write_text("#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(DeployError, match=r"docker container exec app \.\.\. did not end within 1 seconds"):
        docker("container", "exec", "app", "true", seconds=1)


def test_command_that_fails_is_named_with_its_last_words(command):
    command.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    with pytest.raises(DeployError, match=r"docker image rm x \.\.\. failed: no such thing"):
        docker("image", "rm", "x")


def test_message_to_a_closed_terminal_does_not_end_a_deploy(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        log("draining")
        with pytest.raises(BrokenPipeError):
            closed.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # for its close


def test_message_without_an_output_does_not_end_a_deploy():
    line = ["sh", "-c", f"exec {sys.executable} -c 'from deploy.docker import log; log(\"x\")' >&-"]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stderr == ""


KEEP_LOG = """
from deploy.docker import Container
from deploy.release import candidate
candidate.last_logs = lambda *_, **__: "caf\\xe9"
candidate.keep_log(Container("0" * 64, "site-app:1-gunicorn", "", "exited", "none", 0))
"""


def test_log_of_a_failed_release_is_kept_in_any_locale(tmp_path):
    environ = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", KEEP_LOG]
    output = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True).stdout
    assert r"caf\xe9" in output
    [kept] = tmp_path.rglob("*.log")
    assert kept.read_text(encoding="utf-8") == "café"
