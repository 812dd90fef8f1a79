"""`make load` against real stacks: its verdicts, its refusals, and its report in a browser."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from tests.stack.browsing import opened
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.waiting import free_port, until
from tests.tree import ROOT, copy_reference, reference_tree

AXE = ROOT / "tests/linters/node_modules/axe-core/axe.min.js"
CONFIG = ["--config", "loadtest/headless.conf"]
# Other tests on this machine slow the generator down; these tests are about the site.
PATIENT = "[generator]\ncpu_percent = 100\nlate_p95_ms = 10000\nusers_percent = 95\n"
OBJECTIVES = PATIENT + '[total]\nrequests_per_second = 1\n[route."*"]\nerror_percent = 0\np95_ms = 20000\n'

# Each path answers wrongly in a way that its status does not show, or slowly.
BROKEN = '''
import time
right = application

def application(environ, start_response):
    """Answer wrongly."""
    if environ["PATH_INFO"] == "/about":
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "5")])
        return [b"<p>ok"]
    if environ["PATH_INFO"] == "/version":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"{}"]
    if environ["PATH_INFO"] == "/":
        time.sleep(0.3)
    if environ["PATH_INFO"] == "/echo":
        raise RuntimeError
    return right(environ, start_response)
'''


# Another program: it answers at /, sends a byte a second at /about, and nothing elsewhere.
HANGING = """
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in ("/", "/about"):
            time.sleep(60)
        self.send_response(200)
        self.send_header("X-Request-ID", "1")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "60" if self.path == "/about" else "10")
        self.end_headers()
        for _ in range(60 if self.path == "/about" else 0):
            time.sleep(1)
            self.wfile.write(b".")
        self.wfile.write(b"It serves.")

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Load:
    """One run of locust as `make load` starts it, against a stack."""

    def __init__(self, folder: Path, url: str, objectives: str = OBJECTIVES, **settings: str) -> None:
        (folder / "objectives.toml").write_text(objectives)
        self.folder = folder
        port = str(free_port())
        self.environ = {
            "PATH": os.environ["PATH"],
            "LOCUST_HOST": url,
            "LOCUST_REPORT": str(folder),
            "LOCUST_OBJECTIVES": str(folder / "objectives.toml"),
            "LOCUST_RUN_TIME": "6s",
            "LOCUST_MASTER_BIND_PORT": port,
            "LOCUST_MASTER_NODE_PORT": port,
            **settings,
        }

    def start(self) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [sys.executable, "-m", "loadtest", *CONFIG],
            cwd=reference_tree(),
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        """Run it to its end; return its exit code and its output."""
        running = self.start()
        output, _ = running.communicate(timeout=120)
        return running.returncode, output

    @property
    def report(self) -> dict[str, object]:
        """Return its report.json."""
        found: dict[str, object] = json.loads((self.folder / "report.json").read_text())
        return found


@pytest.fixture(scope="module", autouse=True)
def _locust():
    if not importlib.util.find_spec("locust"):
        pytest.skip("the load test: locust is not installed, `make .venv/loadtest`")


@pytest.fixture(scope="module")
def site():
    """Return a running stack of plain processes."""
    require("processes", "gunicorn")
    stack = LocalStack("gunicorn")
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def broken_site(tmp_path_factory):
    """Return a running stack whose app answers wrongly or slowly."""
    require("processes", "gunicorn")
    root = tmp_path_factory.mktemp("broken")
    copy_reference(root)
    with (root / "app" / "wsgi.py").open("a") as file:
        file.write(BROKEN)
    stack = LocalStack("gunicorn", root=root)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def hanging_site():
    """Return the address of a server that hangs on most paths."""
    command = [sys.executable, "-c", HANGING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        try:
            yield f"http://127.0.0.1:{other.stdout.readline().strip()}"
        finally:
            other.terminate()


@pytest.fixture(scope="module")
def passed(site, tmp_path_factory):
    """Return a run that passed, and its output."""
    load = Load(tmp_path_factory.mktemp("passed"), site.url)
    code, output = load.run()
    assert code == 0, output
    return load, output


def test_good_site_passes_and_every_route_is_measured(passed):
    load, output = passed
    assert "load: passed: " in output
    assert "5 of 6 s" in output  # the progress
    routes = load.report["routes"]
    assert {"GET /", "GET /about", "GET /hello/{name}", "GET /static/*", "POST /echo", "GET /version"} <= routes.keys()
    pages = sum(routes[f"GET {path}"]["requests"] for path in ("/", "/about", "/hello/{name}"))
    assert routes["GET /static/*"]["requests"] >= pages  # each page, and what it names
    assert not any(route["failures"] for route in routes.values())
    assert load.report["settings"]["users"] == 20


@pytest.mark.nightly
def test_wrong_response_fails_the_run_and_is_reported(broken_site, tmp_path):
    load = Load(tmp_path, broken_site.url, LOCUST_USER_CLASSES="Visitor ApiClient")
    code, output = load.run()
    assert code == 1, output
    assert "load: FAILED: " in output
    errors = {f"{each['method']} {each['name']}": each["error"] for each in load.report["errors"]}
    assert "'Where to begin' is not in the body: '<p>ok'" in errors["GET /about"]
    assert "expected application/json; got 'text/plain" in errors["GET /version"]
    assert "expected 200; got 500" in errors["POST /echo"]
    assert errors.keys() == {"GET /about", "GET /version", "POST /echo"}


@pytest.mark.nightly
def test_slow_site_fails_the_run(broken_site, tmp_path):
    slow = PATIENT + '[route."GET /"]\np50_ms = 250\n'
    load = Load(tmp_path, broken_site.url, slow)
    code, output = load.run()
    assert code == 1, output
    [row] = load.report["objectives"]
    assert row["measured"] >= 300


WORKERS = pytest.mark.parametrize("workers", [{}, {"LOCUST_PROCESSES": "2"}], ids=["alone", "with workers"])


@pytest.mark.nightly
@WORKERS
def test_task_that_raises_fails_the_run_and_is_reported(workers, site, tmp_path):
    (tmp_path / "locustfile.py").write_text(
        "from loadtest.locustfile import *\n"
        "def stumble(user):\n    with user.client.get('/version', catch_response=True) as response:\n"
        "        response.json()['no such name']\n"
        "class Stumbles(ApiClient):\n    tasks = [*ApiClient.tasks, stumble]\n"
    )
    settings = {"LOCUST_LOCUSTFILE": str(tmp_path / "locustfile.py"), "LOCUST_USER_CLASSES": "Stumbles"}
    load = Load(tmp_path, site.url, **settings, **workers)
    code, output = load.run()
    assert code == 1, output
    [error] = load.report["errors"]
    assert (error["name"], error["error"]) == ("Stumbles", "KeyError('no such name')")


@pytest.mark.nightly
@WORKERS
def test_response_that_times_out_has_failed(workers, hanging_site, tmp_path):
    limits = PATIENT + '[route."GET /about"]\nerror_percent = 0\n[route."GET /hello/{name}"]\nerror_percent = 0\n'
    settings = {"LOCUST_RUN_TIME": "13s", "LOCUST_USER_CLASSES": "Visitor"}
    load = Load(tmp_path, hanging_site, limits, **settings, **workers)
    code, output = load.run()
    assert code == 1, output
    errors = {each["name"]: each["error"] for each in load.report["errors"]}
    assert errors.keys() == {"/about", "/hello/{name}"}
    assert "no complete response in 10 s" in errors["/about"]  # the response was incomplete when the run ended
    assert "timed out" in errors["/hello/{name}"]


@pytest.mark.nightly
def test_response_without_a_request_id_fails(tmp_path):
    # Another program: the right status and text, and no X-Request-ID.
    (tmp_path / "index.html").write_text("It serves.")
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            load = Load(tmp_path, f"http://127.0.0.1:{port}", LOCUST_RUN_TIME="2s", LOCUST_USER_CLASSES="Visitor")
            until(lambda: "nothing answers" not in load.run()[1], "the other server answers")
        finally:
            other.terminate()
    assert any(
        each["name"] == "/" and each["error"].endswith("X-Request-ID is None')") for each in load.report["errors"]
    )


def test_slow_generator_makes_the_run_invalid(site, tmp_path):
    # A listener computes for a tenth of a second at each request.
    (tmp_path / "locustfile.py").write_text(
        "import time\nfrom locust import events\nfrom loadtest.locustfile import *\n"
        "events.request.add_listener(lambda **_: [time.perf_counter() for _ in range(1_000_000)])\n"
    )
    strict = OBJECTIVES.replace("10000", "60")
    load = Load(tmp_path, site.url, strict, LOCUST_LOCUSTFILE=str(tmp_path / "locustfile.py"))
    code, output = load.run()
    assert code == 2, output
    assert "load: the generator's late_p95_ms is " in output
    assert "load: INVALID: this run does not measure the server" in output


@pytest.mark.nightly
@pytest.mark.parametrize("workers", [2, 1], ids=["one of two", "the last one"])
def test_lost_worker_makes_the_run_invalid(workers, site, tmp_path):
    load = Load(tmp_path, site.url, LOCUST_RUN_TIME="12s", LOCUST_PROCESSES=str(workers))
    running = load.start()
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    until(lambda: len(children.read_text().split()) == workers, "all workers run")
    lines = []
    for line in running.stdout:
        lines.append(line)
        if " of 12 s" in line and len(children.read_text().split()) == workers:
            os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
            break
    output = "".join(lines) + running.communicate(timeout=120)[0]
    assert running.returncode == 2, output
    assert " is lost, " in output
    assert "load: INVALID: this run does not measure the server" in output
    assert " was lost " in load.report["invalid"][0]


def ended_early(load, number):
    """Send the signal to a run of a minute after a few seconds; return its exit code and its output."""
    running = load.start()
    lines = []
    for line in running.stdout:
        lines.append(line)
        if " of 60 s" in line:
            running.send_signal(number)
            break
    output = "".join(lines) + running.communicate(timeout=120)[0]
    return running.returncode, output


@pytest.mark.nightly
def test_missing_users_make_the_run_invalid(site, tmp_path):
    # A ramp that is stopped early never had its users.
    code, output = ended_early(Load(tmp_path, site.url, LOCUST_SHAPE="ramp", LOCUST_RUN_TIME="60s"), signal.SIGINT)
    assert code == 2, output
    assert "load: the generator's users_percent is " in output


@pytest.mark.nightly
def test_run_that_is_ended_early_is_invalid(site, tmp_path):
    code, output = ended_early(Load(tmp_path, site.url, LOCUST_SHAPE="soak", LOCUST_RUN_TIME="60s"), signal.SIGINT)
    assert code == 2, output
    assert re.search(r"load: the run was ended after \d+ s of 60 s\n", output)


@pytest.mark.nightly
def test_step_of_a_breakpoint_without_its_users_is_invalid(site, tmp_path):
    (tmp_path / "locustfile.py").write_text(
        "from locust.exception import StopUser\nfrom loadtest.locustfile import *\n"
        "def leave(user):\n    raise StopUser\n"
        "class Leaves(Visitor):\n    tasks = [leave]\n"
    )
    settings = {"LOCUST_SHAPE": "breakpoint", "LOCUST_RUN_TIME": "30s", "LOCUST_USER_CLASSES": "Leaves"}
    load = Load(tmp_path, site.url, PATIENT, LOCUST_LOCUSTFILE=str(tmp_path / "locustfile.py"), **settings)
    code, output = load.run()
    assert code == 2, output
    assert "load: 100 users: the generator's users_percent is " in output


@pytest.mark.nightly
def test_breakpoint_reports_the_highest_load_that_met_the_objectives(broken_site, tmp_path):
    # Eight threads answer 27 requests per second, at 0.3 s each.
    limits = PATIENT + '[route."GET /"]\np50_ms = 1000\n'
    settings = {"LOCUST_SHAPE": "breakpoint", "LOCUST_USERS": "300", "LOCUST_RUN_TIME": "60s"}
    load = Load(tmp_path, broken_site.url, limits, LOCUST_USER_CLASSES="Visitor", **settings)
    code, output = load.run()
    assert code == 0, output
    assert "load: 30 users: every objective was met" in output
    highest = str(load.report["highest"])
    assert highest.startswith("The highest load that met the objectives: ")
    assert "GET / p50_ms" in highest


def test_missing_site_is_reported_in_one_sentence(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    code, output = Load(tmp_path, url).run()
    assert code == 2
    [line] = output.splitlines()
    assert line.startswith(f"load: nothing answers at {url} (")
    assert "start the site (`docker compose up`, or `make local`), or set LOCUST_HOST" in line


def test_server_that_does_not_speak_http_is_no_site(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        Thread(target=greet).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        code, output = Load(tmp_path, url).run()
    assert code == 2, output
    assert output.startswith(f"load: nothing answers at {url} (220 mail.example.org ESMTP")


@pytest.mark.nightly
def test_missing_workers_make_the_run_invalid(site, tmp_path):
    settings = {"LOCUST_PROCESSES": "1", "LOCUST_EXPECT_WORKERS_MAX_WAIT": "2"}
    code, output = Load(tmp_path, site.url, **settings, LOCUST_MASTER_NODE_PORT=str(free_port())).run()
    assert code == 2, output
    assert "Gave up waiting for workers to connect" in output
    assert "load: INVALID: this run does not measure the server" in output


@pytest.mark.nightly
def test_port_of_another_run_makes_the_run_invalid(site, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, output = Load(tmp_path, site.url, LOCUST_PROCESSES="1", LOCUST_MASTER_BIND_PORT=port).run()
    assert code == 2, output
    assert "Address already in use" in output
    assert "Traceback" not in output


def test_objectives_that_are_not_allowed_are_refused(site, tmp_path):
    code, output = Load(tmp_path, site.url, '[route."GET /abuot"]\np50_ms = 1').run()
    assert code == 2
    [line] = output.splitlines()
    assert "no scenario has a route 'GET /abuot'" in line


@pytest.mark.nightly
def test_make_passes_its_variables_on(site, tmp_path):
    (tmp_path / "objectives.toml").write_text(PATIENT + "[total]\nrequests_per_second = 100000\n")
    options = {
        "HOST": site.url,
        "USERS": "3",
        "RUN_TIME": "2s",
        "SHAPE": "soak",
        "SCENARIO": "ApiClient",
        "OBJECTIVES": str(tmp_path / "objectives.toml"),
        "REPORT": str(tmp_path),
    }
    ended = subprocess.run(
        ["make", "load", *(f"{name}={value}" for name, value in options.items())],
        cwd=reference_tree(),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert f"load: soak, 3 users, 2 s, one process, against {site.url}" in ended.stdout
    # make itself exits with 2, and prints the exit code of the command.
    assert "load] Error 1" in ended.stderr
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["routes"].keys() <= {"POST /echo", "GET /version", "GET /readyz"}


@pytest.mark.nightly
def test_later_run_is_held_to_the_baseline(site, tmp_path):
    load = Load(tmp_path, site.url, RUNS="3", LOCUST_RUN_TIME="5s", LOCUST_USERS="10", LOCUST_USER_CLASSES="ApiClient")
    ended = subprocess.run(
        [sys.executable, "-m", "loadtest.baseline", *CONFIG],
        cwd=reference_tree(),
        env=load.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    file = tmp_path / "baseline.json"
    baseline = json.loads(file.read_text())
    assert {len(each["values"]) for each in baseline["figures"]} == {3}
    # As if this machine had been a thousand times as fast.
    for each in baseline["figures"]:
        each["values"] = [value / 1000 for value in each["values"] if each["metric"] == "p50_ms"] or each["values"]
    file.write_text(json.dumps(baseline))
    code, output = load.run()
    assert code == 1, output
    assert "Held to the baseline of 3 runs, too." in output


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_report_opens_in_a_browser_without_a_fault(scheme, width, passed):
    load, _ = passed
    with opened(load.folder / "index.html", scheme, width) as page:
        assert page.locator(".verdict").inner_text().startswith("passed: ")
        if width == 1280:
            assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) <= 2
        if not AXE.exists():
            pytest.skip("the report in axe: make .venv/node")
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run()")["violations"] == []


OWN = """
from locust import FastHttpUser, HttpUser, LoadTestShape, constant, task

class Reader(HttpUser):
    wait_time = constant(0.2)

    @task
    def home(self):
        self.client.get("/")

class Fast(FastHttpUser):
    wait_time = constant(0.2)

    @task
    def version(self):
        self.client.get("/version")
"""
SHAPED = """
class Mine(LoadTestShape):
    def tick(self):
        return (4, 4) if self.get_run_time() < 3 else None
"""


@pytest.mark.parametrize("shape", ["", pytest.param(SHAPED, marks=pytest.mark.nightly)], ids=["no shape", "a shape"])
def test_locustfile_of_ones_own_has_a_verdict_and_a_report(shape, site, tmp_path):
    (tmp_path / "mine.py").write_text(OWN + shape)
    limits = PATIENT + '[route."*"]\nerror_percent = 0\n[route."GET /mine"]\nerror_percent = 0\n'
    settings = {"LOCUST_LOCUSTFILE": str(tmp_path / "mine.py"), "LOCUST_CSV": str(tmp_path / "mine")}
    load = Load(tmp_path, site.url, limits, **settings, LOCUST_RUN_TIME="" if shape else "2s")
    code, output = load.run()
    assert code == 0, output
    assert output.splitlines()[-1] == "load: passed: 2 of 2 objectives met"
    assert max(len(line) for line in output.splitlines() if not line.startswith("The report: ")) <= 100, output
    assert load.report["routes"].keys() == {"GET /", "GET /version"}
    assert load.report["settings"]["shape"] == ("Mine" if shape else "smoke")
    assert "No request went to GET /mine: their objectives do not count." in load.report["notes"]
    assert b"GET,/version," in (tmp_path / "mine_stats.csv").read_bytes()


# A site whose release changes two seconds after the first request.
CHANGING = """
import json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
began = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        began.append(time.monotonic())
        release = 2 if time.monotonic() > began[0] + 2 else 1
        body = json.dumps({"backend": "gunicorn", "release": f"r{release}", "instance": f"i{release}"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def changing_site():
    """Return the address of a site whose release changes during a run."""
    with subprocess.Popen([sys.executable, "-c", CHANGING], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


@WORKERS
def test_deploy_during_the_run_makes_it_invalid(workers, changing_site, tmp_path):
    limits = PATIENT + "[total]\nrequests_per_second = 0\n"
    code, output = Load(tmp_path, changing_site, limits, LOCUST_USER_CLASSES="Visitor", **workers).run()
    assert code == 2, output
    assert "load: the site changed during the run: backend gunicorn, release r1, " in output
    assert "then backend gunicorn, release r2, " in output


@pytest.mark.nightly
def test_deploy_during_the_run_can_be_allowed(changing_site, tmp_path):
    limits = PATIENT + "[total]\nrequests_per_second = 0\n"
    settings = {"LOCUST_USER_CLASSES": "Visitor", "LOCUST_ALLOW_CHANGE": "1"}
    load = Load(tmp_path, changing_site, limits, **settings)
    code, output = load.run()
    assert code == 0, output
    assert load.report["notes"][-1].startswith("the site changed during the run: ")


def test_another_program_is_measured_as_unknown(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            limits = PATIENT + "[total]\nrequests_per_second = 0\n"
            settings = {"LOCUST_RUN_TIME": "2s", "LOCUST_USER_CLASSES": "Visitor"}
            code, output = Load(tmp_path, f"http://127.0.0.1:{port}", limits, **settings).run()
        finally:
            server.terminate()
    assert code == 0, output
    assert "Measured: backend unknown, release unknown, unknown workers of unknown threads, at" in output
