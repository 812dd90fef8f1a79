"""The health check of a server whose threads are all busy: which worker or server it ends, and which it leaves."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.server import health
from deploy.server.progress import IDLE, SENDING
from tests.stack.waiting import until

STUCK = "time.monotonic_ns() - 31 * 10**9"
RECENT = "time.monotonic_ns()"
# A server: a first process, and a worker for each argument, which lists the worker's notes.
SERVER = r"""
import os, signal, sys, time
from deploy.server.progress import progress

signal.signal(signal.SIGTERM, lambda *_: None)  # it ends after its children
for notes in map(eval, sys.argv[1:]):
    if not os.fork():
        here = progress(len(notes))
        here.notes[:] = memoryview(b"".join(note.to_bytes(8, sys.byteorder) for note in notes)).cast("Q")
        os.write(1, b"%d\n" % os.getpid())
        time.sleep(600)
while True:
    os.wait()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a server with these notes, and returns its process and its workers."""
    monkeypatch.setattr("deploy.server.live.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("deploy.server.health.LOOK_SECONDS", 0.1)
    started = []

    def start(*notes):
        command = [sys.executable, "-c", SERVER, *(f"[{', '.join(map(str, each))}]" for each in notes)]
        with (tmp_path / "log").open("a") as log:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        started.append(server)
        return server, sorted(int(server.stdout.readline()) for _ in notes)  # in the order of the arguments

    yield start
    for server in started:
        if server.poll() is None:
            health.end_server(server.pid)
        server.communicate()


@pytest.fixture
def address(tmp_path):
    """Return the address of a socket on which nobody answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        yield f"unix:{tmp_path}/sock"


def is_alive(process):
    return Path(f"/proc/{process}/exe").exists()


@pytest.mark.parametrize("has_served", [True, False])
@pytest.mark.parametrize("busy", [RECENT, SENDING])
def test_server_whose_threads_make_progress_is_busy(busy, has_served, start, address):
    server, workers = start([busy, busy], [busy, IDLE])
    assert health.examine(address, server.pid, has_served=has_served) == health.BUSY
    assert server.poll() is None
    assert all(map(is_alive, workers))


def test_worker_with_most_stuck_threads_is_ended(start, address, tmp_path):
    server, workers = start([RECENT, STUCK, RECENT], [RECENT, STUCK, STUCK], [RECENT, SENDING, SENDING])
    assert health.examine(address, server.pid, has_served=True) == health.BUSY
    assert server.poll() is None
    until(lambda: not is_alive(workers[1]), "the worker is ended")
    assert [is_alive(each) for each in workers] == [True, False, True]
    log = (tmp_path / "log").read_text()
    assert f"live: 2 of 3 threads of worker {workers[1]} hang for 30 seconds: ending the worker\n" in log
    assert "Current thread" in log
    assert 'File "<string>", line 11 in <module>' in log


def test_worker_whose_threads_are_all_stuck_is_ended_though_the_server_answers(start, monkeypatch):
    monkeypatch.setattr("deploy.server.live.answer", lambda *_, **__: b"200")
    server, workers = start([STUCK, STUCK], [STUCK, IDLE])
    assert health.examine("unix:", server.pid, has_served=True) == b"200"
    until(lambda: not is_alive(workers[0]), "the worker is ended")
    assert is_alive(workers[1])


def test_server_is_ended_if_no_thread_is_in_the_application(start, address):
    server, workers = start([IDLE, IDLE], [IDLE])
    assert health.examine(address, server.pid, has_served=True) == b""
    until(lambda: server.poll() is not None, "the server is ended")
    until(lambda: not any(map(is_alive, workers)), "the workers are ended")


def test_server_that_still_starts_is_not_ended(start, address):
    server, _ = start([IDLE])
    assert health.examine(address, server.pid, has_served=False) == b""
    assert server.poll() is None


def test_missing_socket_ends_a_server_that_has_served(start, tmp_path, monkeypatch):
    monkeypatch.setattr("deploy.server.live.RETRY_SECONDS", 0.01)
    server, _ = start([RECENT])
    with pytest.raises(FileNotFoundError):
        health.examine(f"unix:{tmp_path}/none", server.pid, has_served=False)
    assert health.examine(f"unix:{tmp_path}/none", server.pid, has_served=True) == b""
    until(lambda: server.poll() is not None, "the server is ended")


def test_notes_follow_a_response(tmp_path):
    """A thread is inside the application while a handler or its generator runs, and outside while the server sends."""
    script = """
import os
from deploy.server import health, wsgi
from deploy.server.progress import IDLE, SENDING
from tests.unit.deploy.test_wsgi import TEXT, Server

def note():
    [note] = health.notes(os.getpid())
    return note if note in (IDLE, SENDING) else "inside"

seen = []

class Watched(Server):
    def write(self, data):
        seen.append(note())
        super().write(data)

def handler(environ, start_response):
    seen.append(note())
    write = start_response("200 OK", TEXT)
    if environ["REQUEST_METHOD"] == "PUT":
        write(b"first")
        seen.append(note())
    if environ["REQUEST_METHOD"] == "GET":
        return [b"whole"]
    return chunks()

def chunks():
    seen.append(note())
    yield b"second"
    seen.append(note())

def fails(environ, start_response):
    raise ValueError

for method in ("GET", "POST", "PUT"):
    seen.clear()
    Watched(handler, REQUEST_METHOD=method)
    print(*seen, note())
Server(fails)
print(note())
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={"SERVER_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "inside 0 0",
        "inside inside 1 inside 0",
        "inside 1 inside inside 1 inside 0",
        "0",
    ], ended.stderr


def test_time_of_a_note_is_the_time_of_the_check():
    before = time.monotonic_ns()
    ended = subprocess.run(
        [sys.executable, "-c", f"import time; print({RECENT})"], capture_output=True, text=True, check=True
    )
    assert before < int(ended.stdout) < time.monotonic_ns()
