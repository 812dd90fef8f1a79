"""The stack without Docker: what it says when it cannot start, and what it leaves behind."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.test_lifecycle import Stream
from tests.stack.waiting import until


@pytest.fixture(params=BACKENDS)
def own(request):
    """Return a stack of the test's own, not started."""
    require("processes", request.param)
    return LocalStack(request.param)


def family(process):
    """Return the numbers of the process and of all that it has started, and they have."""
    # Not by their environment: nginx and gunicorn write their titles over it.
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in family(int(child)))]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda by: by.name)
def test_a_request_in_flight_ends_and_nothing_is_left_behind(by, own):
    own.up()
    try:
        stream = Stream(own.url)
        stream.start()
        assert stream.begun.wait(10)
        started = family(own.manager.pid)
        assert len(started) >= 5  # supervisord, nginx and its worker, the app and its worker
        own.manager.send_signal(by)
        own.manager.wait(60)
        stream.join(10)
        assert stream.text.endswith("chunk 7 of 7\n")
        until(lambda: not any(Path(f"/proc/{each}/exe").exists() for each in started), "every process has ended")
        assert not [path for path in own.run_dir.rglob("*") if path.is_socket()]
        with pytest.raises(httpx.ConnectError):
            httpx.get(own.url)
    finally:
        own.down()


def refusal(stack):
    """Return the sentence with which the stack does not start."""
    ended = subprocess.run(
        stack.command, cwd=stack.root, env=stack.environ, capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode != 0
    [line] = (ended.stdout + ended.stderr).splitlines()
    return line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKEND", "guincorn"),
        ("HTTP_PORT", "http"),
        ("HTTP_PORT", "0"),
        ("WEB_CONCURRENCY", "abc"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_sentence(name, value, own):
    own.environ[name] = value
    assert f": {name} is {value!r}: it must be " in refusal(own)


def test_a_port_that_is_taken_stops_the_start_with_one_sentence(own):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        own.environ["HTTP_PORT"] = port
        assert f"HTTP_PORT is {port}: Address already in use" in refusal(own)


def test_it_listens_on_loopback_only(own):
    own.up()
    try:
        listening = subprocess.run(
            ["ss", "-Hltn", f"sport = :{own.url.rpartition(':')[2]}"], capture_output=True, text=True, check=True
        )
        assert [line.split()[3].rpartition(":")[0] for line in listening.stdout.splitlines()] in (
            ["127.0.0.1"],
            ["127.0.0.1"] * os.cpu_count(),
        )
    finally:
        own.down()
