"""Copies of the recipes behind nginx, on both backends, and through a deploy."""

import json
import re
import subprocess
import sys
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from itsdangerous import URLSafeTimedSerializer

from deploy.server.launch import BACKENDS
from tests.recipes.copies import RECIPES, copy
from tests.stack.compose import ComposeStack
from tests.stack.conftest import FILES, KINDS, require
from tests.stack.local import LocalStack
from tests.stack.site import Site
from tests.stack.waiting import until
from tests.tree import copy_reference

KEY = "k" * 32
STACKS = [
    pytest.param(
        (kind, backend),
        marks=[
            pytest.mark.xdist_group(f"recipes-{kind}-{backend}"),
            *[pytest.mark.nightly] * (kind == "docker" or backend != BACKENDS[0]),
        ],
        id=f"{kind}-{backend}",
    )
    for kind in KINDS
    for backend in BACKENDS
]
NAMES = ("authentication", "downloads", "events", "jobs", "passwords")
WSGI = f"""
from app import authentication, downloads, events, jobs
authentication.PASSWORD_HASHES["ada"] = {PasswordHasher(2, 19 * 1024, 1).hash("lovelace")!r}
ROUTES |= {{
    "/private": {{"GET": authentication.basic(authentication.PASSWORD_HASHES, "test")(authentication.who)}},
    "/downloads/{{name}}": {{"GET": downloads.downloads("{KEY}")}},
    "/events": {{"GET": events.follow, "POST": events.send}},
    "/reports": {{"POST": jobs.start}},
    "/reports/{{identity}}": {{"GET": jobs.show}},
}}
application = chain(MIDDLEWARES, router(ROUTES))
"""
SECONDS = 3  # of a stream


def add_recipes(root, *groups, more=""):
    """Copy the recipes to app/ of a project, and lock what they need in these groups."""
    for name in NAMES:
        copy(f"{name}.py", root)
    with (root / "app" / "wsgi.py").open("a") as file:
        file.write(WSGI + more)
    if groups:
        project = (root / "pyproject.toml").read_text()
        needs = 'dependencies = ["argon2-cffi", "huey", "itsdangerous", '
        (root / "pyproject.toml").write_text(project.replace("dependencies = [", needs, 1))
        lock = ["make", "--no-print-directory", "lock", f"GROUPS={' '.join(groups)}"]
        subprocess.run(lock, cwd=root, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module", params=STACKS)
def site(request, tmp_path_factory):
    """Run a site with one worker and copies of the recipes."""
    kind, backend = request.param
    require(kind, backend)
    root = tmp_path_factory.mktemp("recipes")
    copy_reference(root)
    (root / ".venv").symlink_to(sys.prefix)
    add_recipes(root, *["static", backend] * (kind == "docker"), more=f"events.SECONDS = {SECONDS}\n")
    settings = {"WEB_CONCURRENCY": "1", "TRUSTED_PROXIES": "127.0.0.0/8,172.16.0.0/12"}
    if kind == ComposeStack.kind:
        stack = ComposeStack(backend, "-recipes", files=FILES, root=root, **settings)
    else:
        stack = LocalStack(backend, root=root, **settings)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def run(site, script):
    """Run Python code in the app's environment."""
    if isinstance(site, LocalStack):
        environ = site.environ | {"DATA_DIR": "data"}
        subprocess.run([sys.executable, "-c", script], cwd=site.root, env=environ, check=True)
    else:
        ended = site.execute("app", "python", "-c", script)
        assert ended.returncode == 0, ended.stderr


def basic(name, password):
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


@contextmanager
def stream(url, last=""):
    """Open an event stream, and yield an iterator of its messages."""
    with (
        httpx.Client(timeout=30) as client,
        client.stream("GET", f"{url}/events", headers={"Last-Event-ID": last}) as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        yield messages(response)


def messages(response):
    """Yield each message of an event stream, without the empty line that ends it."""
    text = ""
    for piece in response.iter_text():
        *whole, text = (text + piece).split("\n\n")
        yield from whole


def send(url, value):
    """Send an event and return its id."""
    return httpx.post(f"{url}/events", json=value).raise_for_status().json()["id"]


def test_event_arrives_at_once_and_a_new_stream_continues_after_it(site):
    with stream(site.url) as first:
        assert next(first).startswith("retry: ")
        one = send(site.url, "one")
        assert next(first) == f'id: {one}\ndata: "one"'
    two = send(site.url, "two")
    with stream(site.url, str(one)) as second:
        assert next(second) == f"retry: 1000\nid: {one}"
        assert next(second) == f'id: {two}\ndata: "two"'


@pytest.mark.nightly
def test_streams_leave_a_thread_for_pages(site):
    time.sleep(2 * SECONDS)  # until the streams of earlier tests have ended
    threads = httpx.get(f"{site.url}/version").json()["threads"]
    with ExitStack() as stack:
        streams = [stack.enter_context(stream(site.url)) for _ in range(threads - 1)]
        for each in streams:
            next(each)
        with stream(site.url) as last:
            assert len(list(last)) == 1  # it has no place, and ends at once
        assert httpx.get(f"{site.url}/healthz").status_code == 200
        number = send(site.url, "to all")
        assert {next(each) for each in streams} == {f'id: {number}\ndata: "to all"'}


def test_signed_link_downloads_ranges_of_the_file(site):
    content, name = bytes(range(256)) * 1000, "Übersicht 100%.bin"
    run(
        site,
        "import os, pathlib; folder = pathlib.Path(os.environ['DATA_DIR'], 'downloads'); folder.mkdir(exist_ok=True); "
        f"(folder / {name!r}).write_bytes(bytes(range(256)) * 1000); os.symlink('/etc/passwd', folder / 'link')",
    )
    key = {"key": URLSafeTimedSerializer(KEY, salt="download").dumps(name)}
    with httpx.Client(base_url=site.url, params=key) as client:
        path = "/downloads/%C3%9Cbersicht%20100%25.bin"
        whole = client.get(path)
        assert (whole.status_code, whole.content) == (200, content)
        assert whole.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%9Cbersicht%20100%25.bin"
        assert whole.headers["Cache-Control"] == "private"
        etag = whole.headers["ETag"]
        part = client.get(path, headers={"Range": "bytes=1000-1999", "If-Range": etag})
        assert (part.status_code, part.content) == (206, content[1000:2000])
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
        assert client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).content == content
        assert client.get(path, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
        assert int(client.head(path).headers["Content-Length"]) == len(content)
    link = {"key": URLSafeTimedSerializer(KEY, salt="download").dumps("link")}
    assert httpx.get(f"{site.url}/downloads/link", params=link).status_code in (403, 404)
    assert httpx.get(f"{site.url}{path}").status_code == 403


@pytest.mark.nightly
def test_many_passwords_at_once_exhaust_no_memory(site):
    """Each request comes from an address of its own, as those of a botnet do."""

    def guess(number):
        headers = {"Authorization": basic("ada", str(number)), "X-Forwarded-For": f"192.0.2.{number}"}
        return httpx.get(f"{site.url}/private", headers=headers, timeout=60).status_code

    workers = site.workers()
    with ThreadPoolExecutor(30) as clients:
        statuses = list(clients.map(guess, range(40)))
    assert {*statuses} <= {401, 503}
    right = {"Authorization": basic("ada", "lovelace")}
    until(lambda: httpx.get(f"{site.url}/private", headers=right).status_code == 200, "the right password is accepted")
    assert site.workers() == workers
    if isinstance(site, LocalStack):
        for worker in workers:
            status = Path(f"/proc/{worker}/status").read_text()
            assert int(re.search(r"VmHWM:\s+(\d+)", status)[1]) < 90_000  # kB: about 45 MB, and one check


def test_one_address_gets_429_after_ten_wrong_passwords(site):
    def guess(address):
        headers = {"Authorization": basic("ada", "wrong"), "X-Forwarded-For": address}
        while (status := httpx.get(f"{site.url}/private", headers=headers).status_code) == 503:  # the machine is busy
            pass
        return status

    assert [guess("198.51.100.1") for _ in range(12)] == [401] * 10 + [429] * 2
    assert guess("198.51.100.2") == 401


@pytest.mark.nightly
def test_job_runs_in_a_consumer_that_ends_on_sigterm(site):
    location = httpx.post(f"{site.url}/reports").headers["Location"]
    assert httpx.get(f"{site.url}{location}").status_code == 404
    run(
        site,
        "import os, threading; from app import jobs; jobs.WORK = 0; "
        "threading.Timer(3, os.kill, [os.getpid(), 15]).start(); jobs.consume()",
    )
    assert httpx.get(f"{site.url}{location}").json()["id"] in location


def consumer_service():
    """Return the service that recipes/jobs.py describes."""
    found = re.search(r"^    jobs:\n(?:      .*\n)+", (RECIPES / "jobs.py").read_text(), re.MULTILINE)
    return re.sub(r"^  ", "", found[0], flags=re.MULTILINE)


class Browser(threading.Thread):
    """An EventSource: follows the events, and opens the next stream a second after the last one has ended."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.seen, self.faults, self.last = url, [], [], ""
        self.may_end = threading.Event()

    def run(self):
        while not self.may_end.is_set():
            try:
                with stream(self.url, self.last) as found:
                    for message in found:
                        fields = dict(line.split(": ", 1) for line in message.split("\n"))
                        self.last = fields.get("id", self.last)
                        self.seen += [json.loads(fields["data"])] if "data" in fields else []
            except (httpx.TransportError, AssertionError, KeyError) as fault:
                self.faults.append(repr(fault))
            time.sleep(1)


@pytest.mark.nightly
@pytest.mark.parametrize("backend", [pytest.param(each, marks=pytest.mark.xdist_group(each)) for each in BACKENDS])
def test_deploy_loses_no_event_and_no_job(backend, tmp_path):
    require("docker", backend)
    site = Site(backend, "-recipes-deploy", tmp_path)  # the fixture `site` may still run
    (tmp_path / ".venv").symlink_to(sys.prefix)
    add_recipes(tmp_path, "static", backend)
    compose = (tmp_path / "docker-compose.yml").read_text()
    site.write("docker-compose.yml", compose.replace("services:\n", f"services:\n{consumer_service()}\n", 1))
    try:
        site.make(RELEASE="one")
        site.compose("up", "--detach", "jobs")
        browser = Browser(site.url)
        browser.start()
        until(lambda: browser.last, "the browser has a stream")
        locations, sent = [], []
        with ThreadPoolExecutor(1) as deploy:
            deployed = deploy.submit(site.make, RELEASE="two")
            while not deployed.done() or not sent:
                sent.append(len(sent))
                send(site.url, sent[-1])
                if len(locations) < 12:
                    locations.append(httpx.post(f"{site.url}/reports").raise_for_status().headers["Location"])
                time.sleep(0.5)
            deployed.result()
        locations += [httpx.post(f"{site.url}/reports").headers["Location"] for _ in range(3)]
        site.compose("up", "--detach", "jobs")
        until(lambda: browser.seen[-1:] == sent[-1:], "the last event arrives")
        browser.may_end.set()
        assert browser.faults == []
        assert browser.seen == sent
        until(lambda: {httpx.get(site.url + each).status_code for each in locations} == {200}, "all jobs have run", 90)
        releases = [httpx.get(site.url + each).json()["release"] for each in locations]
        assert releases == sorted(releases)
        assert {*releases} == {"one", "two"}
    finally:
        site.down()
