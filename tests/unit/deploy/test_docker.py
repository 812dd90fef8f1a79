"""The docker commands: a time limit for each, and failures in one sentence."""

import os

import pytest

from deploy.docker import DeployError, docker, log


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
