"""wrk's output, and the open-model client, which counts the time from when each request was due."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.stack.waiting import ROOT

pytestmark = pytest.mark.slow

# In a process of its own: gevent's event loop and pytest's threads do not mix.
SERVER = """
import json
from gevent.pywsgi import WSGIServer
from loadtest.compare import generators

def serve(application):
    server = WSGIServer(("127.0.0.1", 0), application, log=None)
    server.start()
    return f"http://127.0.0.1:{server.server_port}"

"""
STALL = """
count = 0
def application(environ, start_response):
    global count
    count += 1
    if count == 20:
        import time; time.sleep(0.5)  # stops the whole server, and this client with it
    start_response(STATUS, [("Content-Length", "2")])
    return [b"ok"]

found = generators.at_rate(serve(application), "/", 100, 1)
slow = sum(count for late, count in found.responses.times.items() if late > 100)
print(json.dumps([found.responses.requests, found.responses.failures, slow]))
"""


# In a thread, because the program waits for wrk.
BUSY = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(int(STATUS[:3]))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 256
ThreadingHTTPServer.handle_error = lambda *_: None  # wrk does not wait for what is under way at its end
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
found = generators.saturate(f"http://127.0.0.1:{server.server_port}", "/", 1)
print(json.dumps([found.requests, found.failures]))
"""


def output(program, status, path):
    """Return the JSON that the program prints; its server answers with `status`."""
    ended = subprocess.run(
        [sys.executable, "-c", f"STATUS = {status!r}\n{SERVER}{program}"],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "No module named 'gevent" in ended.stderr:
        pytest.skip("the open model: locust, with gevent, is not installed, `make .venv/loadtest`")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


STATUSES = pytest.mark.parametrize(("status", "fails"), [("200 OK", False), ("500 Internal Server Error", True)])


@STATUSES
def test_requests_due_during_a_stall_count_as_slow(status, fails):
    requests, failures, slow = output(STALL, status, "")
    assert (requests, failures) == (100, 100 if fails else 0)
    # Fifty requests are due in half a second. Those of the first 0.4 s wait longer than 0.1 s.
    assert slow >= 30


HANG = """
from gevent import sleep
from math import inf

count = 0
def application(environ, start_response):
    global count
    count += 1
    if count == 20:
        sleep(60)
    start_response(STATUS, [("Content-Length", "2")])
    return [b"ok"]

generators.TIMEOUT = 1
generators.new_client = lambda url, number: generators.HTTPClient.from_url(url, concurrency=number, network_timeout=60)
found = generators.at_rate(serve(application), "/", 100, 1)
print(json.dumps([found.responses.requests, found.responses.failures, found.responses.times[inf]]))
"""


def test_response_that_times_out_has_failed():
    assert output(HANG, "200 OK", "") == [100, 1, 1]


def test_failed_request_counts_as_the_slowest():
    program = STALL.replace("found.responses.requests", "found.responses.percentile(0.01) == float('inf')")
    assert output(program, "503 Busy", "") == [True, 100, 100]


WRK = """Running 51s test @ http://127.0.0.1:8080/
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.91ms    2.01ms  52.21ms   91.53%
    Req/Sec    10.02k     1.13k   12.46k    71.00%
  1020000 requests in 0.85m, 200.00MB read
{}Requests/sec:  20000.00
Transfer/sec:      4.00MB
"""


@pytest.mark.parametrize(
    ("errors", "failures"),
    [
        ("", 0),
        ("  Socket errors: connect 0, read 3, write 0, timeout 2\n  Non-2xx or 3xx responses: 5\n", 10),
    ],
)
def test_output_of_wrk_is_read_for_a_run_of_a_minute(errors, failures):
    said = WRK.format(errors)
    found = output("print(json.dumps(vars(generators.read_wrk(STATUS))))", said, "")
    assert found == {"requests": 1020000, "failures": failures, "seconds": 51}


@STATUSES
def test_wrk_counts_failures(status, fails):
    if not shutil.which("wrk"):
        pytest.skip("saturation by wrk: it is not installed")
    requests, failures = output(BUSY, status, os.environ["PATH"])
    assert requests > 100
    # A request that is in flight at the end may count as failed.
    assert round(failures / requests) == fails
