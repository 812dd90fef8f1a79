"""Clients that are slow on purpose, 2,500 at a time: they are dropped, and meanwhile all others are served."""

import contextlib
import re
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack.edge import edge
from tests.stack.test_hidden_files import in_static
from tests.stack.waiting import until

pytestmark = pytest.mark.backend("gunicorn")

CLIENTS = 2500
# What each does, where to, and what is in the log of one that was dropped. A header may take ten seconds in all; of a
# body, and of the answer, each piece may.
MODES = {
    "slow headers": (["-H", "-i", "3"], "/environ/", r'"status":408'),
    "slow bodies": (["-B", "-i", "12", "-s", "8192"], "/environ/", r'"status":408'),
    "slow reading": (["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32"], "/static/large.bin", r'"bytes":\d{4,6},'),
}


@contextlib.contextmanager
def others(url):
    """Be another client meanwhile, some times a second and with a new connection each time; it is always served."""
    statuses = []
    stop = threading.Event()

    def ask():
        with httpx.Client(headers={"Connection": "close"}, timeout=20) as client:
            while not stop.wait(0.2):
                try:
                    statuses.append(client.get(f"{url}/environ/").status_code)
                except httpx.TransportError as error:
                    statuses.append(repr(error))

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            stop.set()
            asking.result()
    assert {*statuses} == {200}


def attack(probe, mode):
    """Have so many slow clients of this mode, and see that each is dropped while another is served."""
    options, path, dropped = MODES[mode]
    with edge(probe) as slow, others(slow.direct):
        command = ["slowhttptest", *options, "-c", str(CLIENTS), "-r", "800", "-l", "120", "-u", slow.direct + path]
        test = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: len(re.findall(dropped, slow.logs())) >= CLIENTS, f"{mode}: each is dropped", 90)
        finally:
            test.terminate()
            test.wait(10)


def test_slow_clients_are_dropped_and_all_others_are_served(probe):
    if not shutil.which("slowhttptest"):
        pytest.skip("slowhttptest is not installed")
    modes = [*MODES]
    if probe.kind == "processes":
        modes.remove("slow reading")  # on loopback the kernel takes the answer from nginx at once, whoever reads it
    else:
        in_static(probe, "truncate -s 2M large.bin")
    with ThreadPoolExecutor() as pool:
        assert [*pool.map(lambda mode: attack(probe, mode), modes)] == [None] * len(modes)


@pytest.mark.kind("docker")
def test_uploads_that_stall_take_no_more_memory_than_there_is(probe):
    head = b"POST /environ/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"
    with edge(probe) as slow, others(slow.direct), contextlib.ExitStack() as held:
        host, _, port = slow.direct.removeprefix("http://").partition(":")
        for _ in range(300):  # of a megabyte each: more than nginx's container may take
            client = held.enter_context(socket.create_connection((host, int(port))))
            with contextlib.suppress(ConnectionError):
                client.sendall(head + b"x" * 1_048_000)
        assert httpx.get(f"{slow.direct}/environ/").status_code == 200
