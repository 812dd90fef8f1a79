"""RELEASE_COMMAND: its output, its environment, its failures and its time limit."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.tree import ROOT


def start(command, *arguments, folder=ROOT, **environ):
    """Start the one-shot with this command, and return its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.server.release_command", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "RELEASE_COMMAND": command, **environ},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments, **environ):
    """Run the one-shot, and return its exit code and its output."""
    process = start(*arguments, **environ)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output


def test_command_runs_with_settings_and_secrets(tmp_path):
    (tmp_path / ".secrets").touch(0o600)
    (tmp_path / ".secrets").write_text("KEY=hidden")
    code, output = run('echo "$COLOUR $KEY" && pwd', folder=tmp_path, COLOUR="blue")
    assert (code, output.splitlines()[1:]) == (0, ["blue hidden", str(tmp_path)])


def test_named_release_runs_it_only_in_a_deploy():
    assert run("echo done", RELEASE="one") == (0, "")
    assert run("echo done", "--now", RELEASE="one") == (0, "release: echo done\ndone\n")
    assert run("") == (0, "")


@pytest.mark.parametrize(("command", "reason"), [("false", "1"), ("no-such-command", "127"), ("kill -9 $$", "-9")])
def test_failing_command_is_named(command, reason):
    code, output = run(command)
    assert code == 1
    assert output.endswith(f"release: RELEASE_COMMAND failed with exit code {reason}: {command}\n")


@pytest.mark.slow
def test_command_beyond_its_time_limit_is_ended_with_its_children(tmp_path):
    left = tmp_path / "left"
    code, output = run(f"(sleep 3; touch {left}) & trap '' TERM; wait; sleep 60", RELEASE_SECONDS="1")
    assert code == 1
    assert "did not end within 1 seconds (RELEASE_SECONDS), and was ended" in output
    time.sleep(2)
    assert not left.exists()


def test_interrupted_command_is_ended():
    process = start("echo begun; sleep 60")
    assert process.stdout.readline()
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM


def test_bad_time_limit_is_named():
    code, output = run("true", RELEASE_SECONDS="soon")
    assert (code, output) == (78, "release: RELEASE_SECONDS is 'soon': it must be a whole number from 1 to 86400\n")
