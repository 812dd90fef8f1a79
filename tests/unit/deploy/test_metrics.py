"""The metrics: a worker's file, the workers that take it over, and what the exporter makes of all files."""

import logging
import os
import random
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import router as router_module
from app.router import router
from app.settings import settings
from deploy.server import exporter, launch, metrics
from deploy.server.metrics import Slot
from deploy.server.wsgi import serve
from tests.tree import ROOT

LABELS = ("cause", "le", "route", "method", "status")
# A worker: takes a slot, counts so many requests, and ends by itself or is killed.
WORKER = """
import os, signal, sys
from pathlib import Path
from deploy.server.metrics import Slot
slot = Slot(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    slot.record("/", "GET", "200", 1)
slot.leave() if sys.argv[3] == "ends" else os.kill(os.getpid(), signal.SIGKILL)
"""


def work(folder, requests, how):
    return subprocess.run([sys.executable, "-c", WORKER, folder, str(requests), how], cwd=ROOT, check=False).returncode


def scrape(folder, site=None):
    """Return the value of each sample, by its name and labels, of a site without processes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(site or Site(folder))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [each for family in families for each in family.samples]
    return {
        (each.name, *(each.labels[label] for label in LABELS if label in each.labels)): each.value for each in samples
    }


def Site(folder):  # noqa: N802 (as the class)
    return exporter.Site("0", {"METRICS_DIR": str(folder), "LISTEN": "unix:/nowhere"})


def test_next_worker_continues_the_counts_in_the_same_file(tmp_path):
    site = Site(tmp_path)
    for number, how in enumerate(("ends", "killed", "killed", "ends"), 1):
        work(tmp_path, 10, how)
        found = scrape(tmp_path, site)
        assert found["http_requests_total", "/", "GET", "200"] == 10 * number
        assert sum(found["wsgi_worker_exits_total", cause] for cause in ("ended", "killed")) == number
    assert (found["wsgi_worker_exits_total", "killed"], len(os.listdir(tmp_path))) == (2, 1)  # noqa: PTH208


def test_killed_worker_is_counted_once(tmp_path):
    site = Site(tmp_path)
    work(tmp_path, 1, "killed")
    for _ in range(3):
        assert scrape(tmp_path, site)["wsgi_worker_exits_total", "killed"] == 1
    work(tmp_path, 1, "ends")
    assert scrape(tmp_path, site)["wsgi_worker_exits_total", "killed"] == 1


def test_worker_that_is_not_seen_yet_is_not_counted_as_killed(tmp_path):
    slot = Slot(tmp_path)  # of this process, which is none of the site's workers
    assert scrape(tmp_path)["wsgi_worker_exits_total", "killed"] == 0
    end(slot)


def test_worker_on_a_full_disk_serves_without_counts(tmp_path):
    code = """
import resource, signal, sys
from deploy.server import metrics
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.SIZE // 2, metrics.SIZE // 2))
print(metrics.measured(print) is print)
"""
    environ = {"METRICS_DIR": str(tmp_path)}
    line = [sys.executable, "-c", code]
    ended = subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("True\n", "this worker counts no requests: [Errno 27] File too large\n")
    assert scrape(tmp_path)["wsgi_workers",] == 0


def test_workers_of_one_time_have_files_of_their_own(tmp_path):
    mine = Slot(tmp_path)
    work(tmp_path, 1, "ends")
    work(tmp_path, 1, "ends")
    mine.record("/", "GET", "200", 1)
    assert scrape(tmp_path)["http_requests_total", "/", "GET", "200"] == 3
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"x"])
def test_file_of_a_worker_that_was_killed_at_its_start_fails_no_scrape(content, tmp_path):
    (tmp_path / "0").write_bytes(content)
    assert scrape(tmp_path)["wsgi_workers",] == 0
    work(tmp_path, 1, "ends")
    assert scrape(tmp_path)["http_requests_total", "/", "GET", "200"] == 1


def test_scrape_does_not_fail_while_the_server_empties_the_folder(tmp_path):
    assert scrape(tmp_path / "gone")["wsgi_workers",] == 0


def test_files_do_not_grow_with_the_number_of_workers(tmp_path):
    def size():
        return [(path.name, path.stat().st_blocks) for path in tmp_path.iterdir()]

    work(tmp_path, 1, "killed")
    before = size()
    assert before[0][1] * 512 >= metrics.SIZE  # later writes need no further room
    for _ in range(10_000):
        slot = Slot(tmp_path)
        slot.record("/", "GET", "200", 1)
        slot.cells.release()
        slot.bytes.close()
        os.close(slot.file)
    assert size() == before
    assert scrape(tmp_path)["http_requests_total", "/", "GET", "200"] == 10_001


def test_half_written_series_is_overwritten(tmp_path):
    slot = Slot(tmp_path)
    slot.record("/a", "GET", "200", 1)
    at = (1 + len(slot.places)) * metrics.RECORD
    slot.bytes[at : at + 20] = b'["/b", "GET", "200"]'  # and then it was killed, before the length
    del slot
    assert ("http_requests_total", "/b", "GET", "200") not in scrape(tmp_path)
    work(tmp_path, 1, "ends")
    assert scrape(tmp_path)["http_requests_total", "/", "GET", "200"] == 1


@given(st.lists(st.tuples(st.integers(0, metrics.SIZE), st.binary(min_size=1, max_size=400)), max_size=20))
def test_damaged_file_fails_no_scrape_and_no_start(pieces):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        end(Slot(folder), ("/a", "/b", "/c"))
        damaged = bytearray((folder / "0").read_bytes())
        for at, piece in pieces:
            damaged[at : at + len(piece)] = piece
        (folder / "0").write_bytes(damaged[: metrics.SIZE])
        scrape(folder)
        slot = Slot(folder)
        before = scrape(folder)
        slot.record("/new", "GET", "200", 1)
        assert scrape(folder)["http_requests_total", "/new", "GET", "200"] == 1
        assert before["wsgi_workers",] == 0
        end(slot)


def end(slot, routes=()):
    """Count a request of each route, and give the slot back."""
    for route in routes:
        slot.record(route, "GET", "200", 1)
    slot.leave()
    slot.cells.release()
    slot.bytes.close()
    os.close(slot.file)


def test_number_of_series_is_bounded(tmp_path):
    slot = Slot(tmp_path)
    for number in range(2 * metrics.SERIES):
        slot.record(f"/{number}", "GET", "200", 1)
    slot.record("/" + "x" * metrics.NAME, "GET", "200", 1)
    counts = {key: value for key, value in scrape(tmp_path).items() if key[0] == "http_requests_total"}
    assert len(counts) == metrics.SERIES
    assert sum(counts.values()) == 2 * metrics.SERIES + 1


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Return a function that makes a request to an application with counts, and one that scrapes."""
    monkeypatch.setenv("METRICS_DIR", str(tmp_path))
    monkeypatch.setattr("atexit.register", lambda _: None)

    def stream(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"a"
        yield b"b"

    def fails(environ, start_response):
        raise LookupError

    def cut(environ, start_response):
        start_response("200 OK", [])(b"a part")
        raise LookupError

    routes = {"/exact": {"GET": stream}, "/hello/{name}": {"GET": stream}, "/mount/*": stream}
    routes |= {"/fails": {"GET": fails}, "/cut": {"GET": cut}, "/café/{x}": {"GET": stream}}
    application = metrics.measured(serve(router(routes)))

    def call(path, method="GET"):
        environ = {"REQUEST_METHOD": method, "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": path}
        response = application(environ, lambda status, headers: lambda data: None)
        body = b"".join(response)
        getattr(response, "close", lambda: None)()
        return body

    def found():
        return {key[1:]: value for key, value in scrape(tmp_path).items() if key[0] == "http_requests_total" and value}

    yield call, found
    metrics.errors.logger.filters.clear()
    metrics.errors.logger.setLevel(logging.NOTSET)


def test_requests_are_counted_by_pattern_method_and_status(counted):
    call, found = counted
    for path in ("/exact", "/hello/a", "/hello/b", "/mount/a/b", "/mount", "/nowhere", "/nowhere/else", "/fails"):
        call(path)
    call("/exact", "POST")
    call("/exact", "BREW")
    assert found() == {
        ("/exact", "GET", "200"): 1,
        ("/hello/{name}", "GET", "200"): 2,
        ("/mount/*", "GET", "200"): 2,
        ("", "GET", "404"): 2,
        ("/fails", "GET", "500"): 1,
        ("/exact", "POST", "405"): 1,
        ("/exact", "other", "405"): 1,
    }


def test_label_of_a_route_has_its_letters(counted):
    call, found = counted
    call("/caf\xc3\xa9/1")  # as a server passes it
    assert found() == {("/café/{x}", "GET", "200"): 1}


def test_response_that_is_cut_is_counted(counted):
    call, found = counted
    with pytest.raises(ConnectionResetError):
        call("/cut")
    assert found() == {("/cut", "GET", "200"): 1}


def test_clients_cannot_add_labels(counted, tmp_path):
    call, found = counted
    chosen = random.Random(25)  # noqa: S311
    call("/exact")
    before = [(path, path.stat().st_blocks) for path in tmp_path.iterdir()]
    for number in range(10_000):
        text = "".join(chosen.choices("abc/?{}*.%\n\xe9\0 ", k=chosen.randrange(20)))
        call(
            chosen.choice(("/", "", "/hello/", "/mount/", "/exact/")) + text,
            chosen.choice(("GET", "FOO", f"M{number}")),
        )
    routes, methods, statuses = (({each[part] for each in found()}) for part in range(3))
    assert routes - router_module.PATHS == {"", "/hello/{name}", "/mount/*"}  # and paths of app.wsgi
    assert methods == {"GET", "other"}
    assert statuses == {"200", "404", "405"}
    assert sum(found().values()) == 10_001
    assert [(path, path.stat().st_blocks) for path in tmp_path.iterdir()] == before


@pytest.mark.parametrize("level", [logging.INFO, logging.CRITICAL])
def test_exceptions_are_counted_and_logged_as_log_level_says(level, counted, tmp_path, caplog):
    call, _ = counted
    caplog.set_level(level)
    caplog.handler.setLevel(logging.NOTSET)
    call("/fails")
    assert scrape(tmp_path)["http_exceptions_total",] == 1
    assert len(caplog.records) == (level == logging.INFO)


@pytest.mark.usefixtures("counted")
def test_stream_is_open_until_it_is_closed():
    [slot] = [each.slot for each in metrics.errors.logger.filters]
    recorded = []
    stream = metrics.Stream([b"a"], slot, lambda: recorded.append(slot.cells[metrics.STREAMS]))
    assert slot.cells[metrics.STREAMS] == 1
    stream.close()
    assert (slot.cells[metrics.STREAMS], recorded) == (0, [0])


def test_times_are_a_histogram(tmp_path):
    slot = Slot(tmp_path)
    for seconds in (0.001, 0.005, 0.006, 0.4, 100):
        slot.record("/", "GET", "200", int(seconds * 1e9))
    found = scrape(tmp_path)
    name = "http_request_duration_seconds"
    assert [found[f"{name}_bucket", limit, "/", "GET"] for limit in ("0.005", "0.01", "0.5", "30", "+Inf")] == [
        *(2, 3, 4, 4, 5)
    ]
    assert (found[f"{name}_count", "/", "GET"], found[f"{name}_sum", "/", "GET"]) == (5, pytest.approx(100.412))


def test_start_and_disk_are_shown(tmp_path, monkeypatch):
    names = {("wsgi_start_time_seconds",), ("wsgi_disk_bytes",), ("wsgi_disk_free_bytes",)}
    folder, data = tmp_path / "metrics", tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(exporter, "settings", lambda: replace(settings(), data_dir=data))
    assert not names & scrape(folder).keys()
    data.mkdir()
    (folder / "started").touch()
    os.utime(folder / "started", (7, 7))
    found = scrape(folder)
    assert found["wsgi_start_time_seconds",] == 7
    assert 0 < found["wsgi_disk_free_bytes",] < found["wsgi_disk_bytes",] == disk_usage(tmp_path).total


def test_launcher_notes_each_start(tmp_path, monkeypatch):
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    monkeypatch.setenv("METRICS_DIR", "")
    launch.empty_metrics()
    started = tmp_path / "metrics" / "started"
    os.utime(started, (7, 7))
    (tmp_path / "metrics" / "0").touch()
    launch.empty_metrics()
    assert [*started.parent.iterdir()] == [started]
    assert started.stat().st_mtime > 7


def test_connections_that_wait_are_counted(tmp_path):
    code = """
import os, socket, sys
from deploy.server.listen_queue import waiting
one, two = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
one.bind(sys.argv[1])
two.bind(sys.argv[1] + "2")
other = socket.create_server(("127.0.0.1", 0), backlog=5)
clients = []
for server in (one, two, other):
    server.listen(5)
    for _ in range(3):
        clients.append(socket.socket(server.family))
        clients[-1].connect(server.getsockname())
    server.accept()
for address in (f"unix:{sys.argv[1]}", f"unix:{sys.argv[1]}3", f"127.0.0.1:{other.getsockname()[1]}"):
    print(waiting(address))
"""
    line = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "socket")]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["2", "0", "2"]


def test_nothing_is_loaded_unless_the_port_is_set():
    code = """
import sys, deploy.server.wsgi
names = ("prometheus_client", "deploy.server.metrics", "fcntl_", "opentelemetry", "sentry_sdk")
print([name for name in names if name in sys.modules], deploy.server.wsgi.application.__qualname__)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env={})
    assert ended.stdout == "[] serve.<locals>.served\n"


def test_port_that_another_program_has_is_refused_with_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "deploy.server.exporter", "0"],
            cwd=ROOT,
            env={"METRICS_PORT": str(port), "METRICS_BIND": "127.0.0.1", "METRICS_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (
        1,
        f"exporter: METRICS_PORT is {port}: Address already in use: choose another port\n",
    )


def test_last_scrape_is_awaited_only_if_there_was_one(tmp_path, monkeypatch):
    site = Site(tmp_path)
    waited = []
    monkeypatch.setattr(site.scraped, "wait", waited.append)
    site.wait_for_last_scrape()
    assert waited == []
    scrape(tmp_path, site)
    site.wait_for_last_scrape()
    assert waited == [exporter.LAST_SECONDS]
