"""RELEASE_COMMAND, app.env and .secrets: in `docker compose up`, in a deploy, in `make local`; each way to fail."""

import json
import re
import shutil
import signal

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.drills.load import load
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.site import Site, clone
from tests.stack.waiting import until
from tests.tree import copy_reference

# Shows what the app knows. The import needs both variables, and starts a thread that never ends.
APP = """
import os, threading, time
COLOUR, KEY = os.environ["COLOUR"], os.environ["KEY"]
threading.Thread(target=time.sleep, args=(3600,), daemon=False).start() if os.environ.get("THREAD") else None
ROUTES["/known"] = {"GET": lambda environ, start_response: (
    start_response("200 OK", [("Content-Type", "text/plain")]), [f"{COLOUR} {len(KEY)}".encode()])[1]}
"""


def configure(folder, command, key="hunter2"):
    """Write the files of a fork that has a variable, a secret and a release command."""
    insert(folder, APP)
    (folder / "app.env").write_text("COLOUR=blue\nTHREAD=1\n")
    with (folder / ".env").open("a") as file:
        file.write(f"RELEASE_COMMAND='{command}'\n")
    secret(folder, f"KEY={key}\n")


def insert(folder, text):
    """Insert the text where app/wsgi.py has its routes."""
    path = folder / "app" / "wsgi.py"
    path.write_text(path.read_text().replace("\napplication = chain(", f"{text}\napplication = chain("))


def secret(folder, text, mode=0o600):
    (folder / ".secrets").write_text(text)
    (folder / ".secrets").chmod(mode)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            backend,
            marks=[pytest.mark.xdist_group(f"command-{backend}"), *[pytest.mark.nightly] * (backend != BACKENDS[0])],
        )
        for backend in BACKENDS
    ],
)
def site(request, tmp_path_factory):
    """Return a site whose first release, `one`, ran its command."""
    require("docker", request.param)
    site = Site(request.param, "-command", tmp_path_factory.mktemp("site"))
    try:
        configure(site.root, 'echo "release knows $COLOUR $KEY" && test ! -e /run/app/live.sock')
        site.first = site.make(RELEASE="one")
        (site.root / "app.env").write_text("COLOUR=blue\n")  # the thread delays the end of the server too
        yield site
    finally:
        site.down()


def known(site):
    return httpx.get(f"{site.url}/known").text


def command(site, text):
    """Set RELEASE_COMMAND."""
    kept = [line for line in site.env().splitlines() if not line.startswith("RELEASE_COMMAND")]
    site.write(".env", "\n".join([*kept, f"RELEASE_COMMAND='{text}'", ""]))


def test_first_deploy_runs_the_command_with_variables_and_secrets(site):
    assert "release knows blue hunter2" in site.first
    assert known(site) == "blue 7"
    [mount] = [each for each in site.inspect("app")["Mounts"] if each["Destination"] == "/run/secrets"]
    assert mount["RW"] is False
    ours = f"--filter=label=com.docker.compose.project={site.project}"
    shown = docker("inspect", *docker("container", "ls", "--all", "--quiet", ours).split())
    assert "hunter2" not in shown + json.dumps(site.inspect("nginx"))
    assert "COLOUR" not in json.dumps(site.inspect("nginx"))


@pytest.mark.nightly
def test_compose_up_and_rollback_do_not_run_the_command(site):
    command(site, "false")
    site.compose("up", "--detach", "--wait")
    assert known(site) == "blue 7"
    command(site, "true")
    site.make(RELEASE="two")
    command(site, "false")
    assert "a rollback does not run RELEASE_COMMAND" in site.make("rollback")
    assert site.version()["release"] == "one"


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo some output; exit 3", r"some output\nrelease: RELEASE_COMMAND failed with exit code 3"),
        ("no-such-command", r"no-such-command: not found\nrelease: RELEASE_COMMAND failed with exit code 127"),
        ("sleep 60", r"did not end within 2 seconds \(RELEASE_SECONDS\), and was ended"),
    ],
)
def test_failed_command_stops_the_deploy(text, reason, site):
    site.write(".env", f"{site.env()}RELEASE_SECONDS=2\n")
    command(site, text)
    before = site.resources()
    with load(site.url) as clients:
        output = site.make(fails=True, RELEASE="failing")
    assert httpx.get(f"{site.url}/version").json()["release"] == "one"
    assert re.search(reason, output), output
    assert "RELEASE_COMMAND failed, so that failing on" in output
    assert clients.outcomes() == {}
    assert site.resources() == before
    assert site.containers("release", one_off=True) == set()


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_command_is_cleaned_up_by_the_next_deploy(number, site):
    command(site, "echo migrating; sleep 5")
    with load(site.url) as clients:
        site.interrupt("migrating", number, RELEASE="killed")
        command(site, "true")
        site.make(RELEASE=f"after-{number.name}")
    assert clients.outcomes() == {}
    assert site.containers("release", one_off=True) == set()


@pytest.mark.nightly
def test_changed_secret_reaches_only_the_next_release(site):
    command(site, "test ${#KEY} -lt 20")
    secret(site.root, "KEY=a-longer-key\n")
    before = site.inspect("app")["Id"]
    docker("restart", before)
    until(site.is_up, "the site is up", 120)
    assert known(site) == "blue 7"
    site.make(RELEASE="changed")
    assert known(site) == "blue 12"
    site.compose("up", "--detach", "--wait")
    assert site.inspect("app")["State"]["Running"]
    secret(site.root, f"KEY={'x' * 30}\n")
    assert "RELEASE_COMMAND failed" in site.make(fails=True, RELEASE="refused")
    docker("restart", site.inspect("app")["Id"])
    until(site.is_up, "the site is up", 120)
    assert known(site) == "blue 12"
    secret(site.root, "KEY=hunter2\n")
    site.make(RELEASE="again")
    assert len(site.execute("app", "ls", "/run/secrets").stdout.split()) == 2  # of this release and the one before


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("KEY=hunter2", 0o644, ".secrets has mode 644: other users can read it"),
        ("hunter2", 0o600, ".secrets, line 1: it must be NAME=value"),
    ],
)
def test_bad_secrets_are_refused_before_anything_is_built(text, mode, sentence, site):
    before = site.resources()
    secret(site.root, text, mode)
    output = site.make(fails=True)
    secret(site.root, "KEY=hunter2\n")
    assert sentence in output
    assert "building" not in output
    assert "hunter2" not in output
    assert site.resources() == before


@pytest.mark.nightly
def test_working_copy_without_the_secrets_can_roll_back_but_not_deploy(site, tmp_path):
    command(site, "true")
    site.make(RELEASE="kept")
    copy = clone(site, tmp_path)
    (tmp_path / "app.env").write_text("COLOUR=green\n")
    assert ".secrets does not exist here, but the live release has secrets" in copy.make(fails=True)
    copy.make("rollback")
    assert known(site) == "green 7"
    assert "COLOUR" not in copy.env()


HOOK = """#!/bin/sh
echo "$(basename "$0"): $RELEASE on $BACKEND replaces $LIVE_RELEASE on $LIVE_BACKEND"
test ! -e "$0.fails"
"""


@pytest.fixture
def hooks(site):
    """Return the folder of three hooks."""
    folder = site.root / "deploy" / "hooks"
    folder.mkdir()
    for name in ("before-build", "before-promotion", "after-promotion"):
        (folder / name).write_text(HOOK)
        (folder / name).chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.nightly
def test_hooks_know_both_releases_and_can_stop_a_deploy(site, hooks):
    command(site, "true")
    live = site.version()["release"]
    output = site.make(RELEASE="hooked")
    backend = site.backend
    line = rf"hooked on {backend} replaces {live} on {backend}\n"
    order = rf"before-build: {line}(.|\n)*building(.|\n)*before-promotion: {line}(.|\n)*after-promotion: {line}"
    assert re.search(order, output)
    (hooks / "after-promotion.fails").touch()
    output = site.make("rollback")
    assert "before-" not in output
    assert "the release is live, but a hook failed: deploy/hooks/after-promotion failed with exit code 1" in output
    live = site.version()["release"]
    for name in ("before-promotion", "before-build"):
        (hooks / f"{name}.fails").touch()
        assert f"deploy/hooks/{name} failed with exit code 1" in site.make(fails=True, RELEASE="stopped")
        assert site.version()["release"] == live
    (hooks / "before-build").chmod(0o644)
    assert "cannot be run: Permission denied: it must be executable" in site.make(fails=True, RELEASE="stopped")


@pytest.mark.nightly
def test_deploy_waits_for_another_one(site):
    command(site, "true")
    with site.begin(RELEASE="first") as first:
        assert any("checking" in line for line in first.stdout)
        assert "another deploy is running" in site.make("rollback", fails=True, WAIT="1")
        assert "another deploy is running: waiting for at most 300 seconds" in site.make(RELEASE="second", WAIT="300")
        first.communicate(timeout=300)
    assert first.returncode == 0
    assert site.version()["release"] == "second"
    assert "WAIT is 'long': it must be a whole number of seconds" in site.make(fails=True, WAIT="long")


@pytest.mark.nightly
def test_make_local_runs_the_command_with_the_secrets(tmp_path):
    require("processes", BACKENDS[0])
    copy_reference(tmp_path)
    (tmp_path / ".env").touch()
    configure(tmp_path, 'echo "release knows $COLOUR $KEY"')
    stack = LocalStack(BACKENDS[0], root=tmp_path)
    stack.up()
    try:
        assert "release knows blue hunter2" in stack.logs()
        assert known(stack) == "blue 7"
    finally:
        stack.down()
