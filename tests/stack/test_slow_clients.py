"""2,500 slow clients at a time are dropped, and all others are served meanwhile."""

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.stack import stalled
from tests.stack.edge import edge
from tests.stack.test_hidden_files import in_static
from tests.stack.waiting import until

CLIENTS = 2500
# The options of slowhttptest, the path, and a pattern of the log entry of a dropped client.
MODES = {
    "slow headers": (["-H", "-i", "3"], "/environ/", r'"status":408'),
    "slow bodies": (["-B", "-i", "10", "-s", "8192"], "/environ/", r'"status":408'),
    "slow reading": (["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32"], "/static/large.bin", r'"bytes":\d{4,6},'),
}


@contextlib.contextmanager
def others(url):
    """Send five requests a second during the block, each on a new connection; fail unless all get 200."""
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
    """Start CLIENTS slow clients of this mode, and check that each is dropped while others are served."""
    options, path, dropped = MODES[mode]
    with edge(probe) as slow, others(slow.direct):
        command = ["slowhttptest", *options, "-c", str(CLIENTS), "-r", "800", "-l", "120", "-u", slow.direct + path]
        test = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: len(re.findall(dropped, slow.logs())) >= CLIENTS, f"{mode}: each is dropped", 90)
        finally:
            test.terminate()
            test.wait(10)


@pytest.mark.backend("gunicorn")
def test_slow_clients_are_dropped_and_others_are_served(probe):
    if not shutil.which("slowhttptest"):
        pytest.skip("slowhttptest is not installed")
    modes = [*MODES]
    if probe.kind == "processes":
        modes.remove("slow reading")  # on loopback the kernel takes the response from nginx at once
    else:
        in_static(probe, "truncate -s 2M large.bin")
    with ThreadPoolExecutor() as pool:
        assert [*pool.map(lambda mode: attack(probe, mode), modes)] == [None] * len(modes)


@pytest.mark.kind("docker")
@pytest.mark.backend("gunicorn")
def test_stalled_uploads_fit_the_memory_limit(probe):
    head = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"
    with edge(probe) as slow, others(slow.direct), contextlib.ExitStack() as held:
        host, _, port = slow.direct.removeprefix("http://").partition(":")
        for _ in range(300):  # of a megabyte each: more than the memory limit of nginx's container
            client = held.enter_context(socket.create_connection((host, int(port))))
            with contextlib.suppress(ConnectionError):
                client.sendall(head + b"x" * 1_048_000)
        assert httpx.get(f"{slow.direct}/environ/").status_code == 200


@pytest.mark.nightly
@pytest.mark.kind("processes")
@pytest.mark.backend("gunicorn")
def test_clients_that_send_a_piece_every_ten_seconds_are_dropped(stack):
    for name, port, kept, seconds in stalled.measure(stack, 300, lambda name: "every 10 s" in name):
        assert (name, port, float("inf") in seconds) == (name, port, False)
        assert (name, port, kept[-1] == 0) == (name, port, name not in stalled.KEPT)


MB = 16  # blocks of /download: 1 MiB


def length_at(url, rate, seconds=60, delay=0):
    """Return how many bytes a client receives that waits `delay` seconds and then reads `rate` bytes a second."""
    received = 0
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as client:
        client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % address.path.encode())
        with client.makefile("rb", 0) as head:
            while head.readline().strip():
                pass
        time.sleep(delay)
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            if received > passed * rate:
                time.sleep(0.05)
            elif some := client.recv(min(65_536, int(rate / 10))):
                received += len(some)
            else:
                break
    return received


def direct(stack):
    """Return the address of the stack's nginx, without Docker's proxy, which reads ahead of its client."""
    if stack.kind == "processes":
        return stack.url
    network = next(iter(stack.inspect("nginx")["NetworkSettings"]["Networks"].values()))
    return f"http://{network['IPAddress']}:8080"


def test_download_above_the_buffers_is_complete(probe):
    with ThreadPoolExecutor(2) as pool:
        lengths = pool.map(lambda _: length_at(f"{direct(probe)}/download/{200 * MB}", 30_000_000, delay=6), range(2))
        assert [*lengths] == [200 * 2**20] * 2


def test_slow_readers_block_no_thread(probe):
    with contextlib.ExitStack() as readers:
        responses = [
            readers.enter_context(httpx.stream("GET", f"{direct(probe)}/download/{50 * MB}", timeout=60))
            for _ in range(16)  # the app has eight threads a worker
        ]
        assert httpx.get(f"{probe.url}/environ/", timeout=15).status_code == 200
        assert [sum(map(len, each.iter_raw())) for each in responses] == [50 * 2**20] * 16


@pytest.mark.backend("gunicorn")
def test_client_at_10_kb_a_second_is_not_dropped(probe):
    assert length_at(f"{direct(probe)}/download/{100 * MB}", 10_000, seconds=30) > 290_000


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_streamed_page_arrives_in_chunks(encoding, probe):
    with httpx.stream("GET", f"{probe.url}/page", headers={"Accept-Encoding": encoding}, timeout=15) as response:
        assert response.headers.get("Content-Encoding", "identity") == encoding
        pieces = response.iter_bytes()
        first = ""
        while "first half" not in first:
            first += next(pieces).decode()
        assert httpx.get(f"{probe.url}/end").json() == "ended"
        assert b"".join(pieces).decode().endswith("<p>second half</p>")
