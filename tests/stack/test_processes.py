"""The stack without Docker: errors at the start, and cleaning up at the end."""

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
    """Return a stack that is not started."""
    require("processes", request.param)
    return LocalStack(request.param)


def family(process):
    """Return the ids of the process and its descendants."""
    # Searching by environment fails: nginx and gunicorn overwrite it with their process titles.
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in family(int(child)))]


# supervisord handles SIGTERM as SIGINT.
@pytest.mark.parametrize(
    "by",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly), signal.SIGKILL],
    ids=lambda by: by.name,
)
def test_stop_completes_request_in_flight_and_leaves_nothing(by, own):
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
        until(lambda: not any(Path(f"/proc/{each}/exe").exists() for each in started), "every process exits")
        assert not [path for path in own.run_dir.rglob("*") if path.is_socket()]
        with pytest.raises(httpx.ConnectError):
            httpx.get(own.url)
    finally:
        own.down()


def refusal(stack):
    """Start a stack that must fail, and return its only line of output."""
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
def test_invalid_setting_stops_start_with_one_sentence(name, value, own):
    own.environ[name] = value
    assert f": {name} is {value!r}: it must be " in refusal(own)


def test_port_in_use_stops_start_with_one_sentence(own):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        own.environ["HTTP_PORT"] = port
        assert f"HTTP_PORT is {port}: Address already in use" in refusal(own)


@pytest.mark.kind("processes")
def test_site_listens_on_loopback_only(stack):
    listening = subprocess.run(
        ["ss", "-Hltn", f"sport = :{stack.url.rpartition(':')[2]}"], capture_output=True, text=True, check=True
    )
    assert [line.split()[3].rpartition(":")[0] for line in listening.stdout.splitlines()] in (
        ["127.0.0.1"],
        ["127.0.0.1"] * os.cpu_count(),
    )
