"""The stack without Docker: errors at the start, and cleaning up at the end."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from deploy.local.watch import CHECK_SECONDS
from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.test_lifecycle import Stream
from tests.stack.waiting import until
from tests.tree import copy_reference


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


def test_health_check_goes_on_when_the_process_is_not_known_yet():
    require("processes", BACKENDS[0])
    own = LocalStack(BACKENDS[0])
    own.up()
    try:
        (own.run_dir / "app.pid").write_text("")
        time.sleep(CHECK_SECONDS + 1)
        assert "Traceback" not in own.logs()
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
        # begin monitoring
        ("LOG_FORMAT", "JSON"),
        ("LOG_FORMAT", " json"),
        ("METRICS_PORT", "abc"),
        # end monitoring
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


def test_ipv6_address_without_brackets_stops_start_with_one_sentence(own):
    own.environ["HTTP_BIND"] = "::1"
    assert "HTTP_BIND is '::1': it must be in brackets, such as [::1], " in refusal(own)


def test_folder_may_have_any_name_and_a_proxy_is_ignored(own, tmp_path):
    root = tmp_path / 'it\'s "a" `x` $HOME & more'
    root.mkdir()
    copy_reference(root)
    stack = LocalStack(own.backend, root=root, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    stack.environ["HTTP_BIND"] = "[::1]"
    stack.url = stack.url.replace("127.0.0.1", "[::1]")
    stack.up()
    try:
        assert httpx.get(f"{stack.url}/about").status_code == 200
        until(lambda: f"behind nginx, {stack.url} (Ctrl-C" in stack.logs(), "the address is printed")
    finally:
        stack.down()


FAILED_STARTS = {
    "nginx": ("nginx/nginx.conf", "nonsense;", 'unknown directive "nonsense"'),
    # The launcher has set this variable when a worker imports the application.
    "app": ("app/wsgi.py", "import os\nassert 'SERVER_WORKERS' not in os.environ, 'no start'", "no start"),
}


@pytest.mark.parametrize("program", FAILED_STARTS)
def test_failed_start_ends_with_the_reason(program, own, tmp_path):
    path, text, reason = FAILED_STARTS[program]
    copy_reference(tmp_path)
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{text}\n")
    ended = subprocess.run(
        own.command, cwd=tmp_path, env=own.environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 1
    assert reason in ended.stdout
    assert ended.stderr.splitlines()[-1] == f"local: {program} does not start: it has printed the reason above"


@pytest.mark.kind("processes")
def test_site_listens_on_loopback_only(stack):
    listening = subprocess.run(
        ["ss", "-Hltn", f"sport = :{stack.url.rpartition(':')[2]}"], capture_output=True, text=True, check=True
    )
    assert [line.split()[3].rpartition(":")[0] for line in listening.stdout.splitlines()] in (
        ["127.0.0.1"],
        ["127.0.0.1"] * os.cpu_count(),
    )
