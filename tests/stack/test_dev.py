"""`make dev`: edits are served at once, and exceptions show a traceback in the browser, on both backends."""

import os
import pty
import re
import subprocess
import threading
import time

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.compose import ComposeStack
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.waiting import until
from tests.tree import copy_reference

HTML = {"Accept": "text/html"}


@pytest.fixture(params=BACKENDS)
def dev(request, tmp_path):
    """Run the stack of `make dev` on a copy of the project, which the test can edit."""
    require("processes", request.param)
    copy_reference(tmp_path)
    stack = LocalStack(request.param, module="deploy.local.dev", root=tmp_path)
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


def edit(stack, path, old, new):
    file = stack.root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_edit_is_served_and_exception_shows_traceback(dev):
    def get(path):
        return httpx.get(dev.url + path, headers=HTML).text

    assert "edited" not in get("/about")
    edit(dev, "app/templates/page.html", "<body>", "<body>edited")
    assert "edited" in get("/about")

    assert "/* edited */" not in get("/static/style.css")
    edit(dev, "app/static/style.css", ":root {", "/* edited */ :root {")
    until(lambda: "/* edited */" in get("/static/style.css"), "the edited style is served", 3)

    edit(dev, "app/handlers/health.py", '{"status": "ok"}', '{"status": "edited"}')
    until(lambda: "edited" in get("/healthz"), "the edited handler is served", 120)

    edit(
        dev,
        "app/handlers/health.py",
        'return json(start_response, {"status": "edited"})',
        'raise LookupError("edited")',
    )
    until(lambda: "LookupError: edited" in get("/healthz"), "the traceback is shown", 120)
    assert "EVALEX = false," in get("/healthz")  # without Werkzeug's interactive console

    edit(dev, "app/handlers/health.py", "def alive(", "def alive((")
    until(lambda: "SyntaxError" in get("/healthz"), "the syntax error is shown", 120)
    edit(dev, "app/handlers/health.py", "def alive((", "def alive(")
    until(lambda: "LookupError: edited" in get("/healthz"), "the app recovers", 120)


SPACING = [0.2, 0.2, 0.2, 1, 0.2, 1, 2, 0.2, 2, 3]  # seconds between two saves


def test_no_response_is_older_than_the_one_before_and_none_fails(dev):
    handler, module = (dev.root / "app" / name for name in ("handlers/health.py", "saved.py"))
    text = handler.read_text().replace("from app.settings", "from app import saved\nfrom app.settings")

    def save(number):
        module.write_text(f"NUMBER = {number:02d}\n".replace(" 0", " "))
        handler.write_text(text.replace('{"status": "ok"}', f'{{"status": [{number}, saved.NUMBER]}}'))

    save(0)
    found, ended = [], threading.Event()

    def visit():
        with httpx.Client(base_url=dev.url, timeout=60) as client:
            while not ended.is_set():
                began = time.monotonic()
                response = client.get("/healthz")
                shown = response.json()["status"] if response.status_code == 200 else [response.status_code]
                found.append((began, time.monotonic(), shown))

    until(lambda: httpx.get(f"{dev.url}/healthz").json()["status"] == [0, 0], "the first save is served", 120)
    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    for number, seconds in enumerate(SPACING, 1):
        save(number)
        time.sleep(seconds)
    until(lambda: found[-1][2] == [len(SPACING)] * 2, "the last save is served", 120)
    ended.set()
    for visitor in visitors:
        visitor.join()
    assert [shown for _, _, shown in found if len(shown) != 2] == []
    assert [shown for _, _, shown in found if shown[0] != shown[1]] == []  # no mix of two saves
    for began, _, shown in found:
        assert shown >= max((each for _, answered, each in found if answered <= began), default=shown)


@pytest.mark.nightly
def test_server_that_exits_is_started_again(dev):
    dev.kill_app()


@pytest.mark.nightly
def test_breakpoint_opens_the_debugger_in_the_terminal(dev):
    edit(dev, "app/handlers/health.py", 'return json(start_response, {"status": "ok"})', "breakpoint()")
    dev.manager.terminate()
    dev.manager.wait(30)
    terminal, end = pty.openpty()
    dev.manager = subprocess.Popen(
        dev.command, cwd=dev.root, env=dev.environ, stdin=end, stdout=end, stderr=end, start_new_session=True
    )
    os.close(end)
    output = ""

    def reads(text):
        nonlocal output
        while text not in output:
            output += os.read(terminal, 4096).decode(errors="replace")

    reads("behind nginx")
    visitor = threading.Thread(target=lambda: httpx.get(f"{dev.url}/healthz", timeout=60))
    visitor.start()
    reads("(Pdb)")
    os.write(terminal, b"p 6 * 7\n")
    reads("42")
    os.write(terminal, b"c\n")
    visitor.join(60)
    assert re.search(r"health\.py\(\d+\)alive", output)
    assert not visitor.is_alive()


@pytest.fixture(params=BACKENDS)
def watched(request, tmp_path):
    """Run the same in Docker (deploy/local/dev.yml)."""
    require("docker", request.param)
    copy_reference(tmp_path)
    stack = ComposeStack(request.param, "-dev", files=("docker-compose.yml", "deploy/local/dev.yml"), root=tmp_path)
    log = tmp_path.with_name("log")
    with log.open("w") as output:
        command = stack.command("up", "--build", "--watch")
        watch = subprocess.Popen(command, cwd=tmp_path, env=stack.environ, stdout=output, stderr=output)
    try:
        until(lambda: is_up(stack) or watch.poll() is not None, "the site is ready", 300)
        assert watch.poll() is None, log.read_text()
        yield stack
    finally:
        watch.terminate()
        watch.wait(60)
        stack.down()


def is_up(stack):
    try:
        return httpx.get(f"{stack.url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.nightly
def test_edit_is_served_in_docker_and_no_file_is_written(watched):
    def get(path):
        return httpx.get(watched.url + path, headers=HTML)

    def files():
        return {path: path.stat().st_mode for path in watched.root.rglob("*")}

    before = files()
    edit(watched, "app/templates/page.html", "<body>", "<body>edited")
    until(lambda: "edited" in get("/about").text, "the edited template is served")
    edit(watched, "app/static/style.css", ":root {", "/* edited */ :root {")
    until(lambda: "/* edited */" in get("/static/style.css").text, "the edited style is served")
    edit(watched, "app/static/root/robots.txt", "User-agent", "# edited\nUser-agent")
    until(lambda: "# edited" in get("/robots.txt").text, "the edited file is served at /")
    edit(watched, "app/handlers/health.py", '{"status": "ok"}', '{"status": "edited"}')
    until(lambda: "edited" in get("/healthz").text, "the edited handler is served")
    edit(watched, "nginx/headers.conf", "camera=(), ", "")
    until(lambda: "camera" not in get("/healthz").headers["Permissions-Policy"], "nginx has its edited configuration")
    assert files() == before

    # An edited file that only its owner can read, as after `umask 077`.
    (watched.root / "app/templates/page.html").chmod(0o600)
    edit(watched, "app/templates/page.html", "<body>edited", "<body>private")
    until(lambda: "private" in get("/about").text, "the edited template is served")
    edit(watched, "app/handlers/health.py", 'json(start_response, {"status": "edited"})', "[][0]")
    until(lambda: "IndexError" in get("/healthz").text, "the traceback is shown")


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_setting_is_default(backend):
    require("processes", backend)
    stack = LocalStack(backend, module="deploy.local.dev", WEB_CONCURRENCY="")
    try:
        stack.up()
    finally:
        stack.down()
