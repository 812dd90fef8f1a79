"""Three machines: whatever is planned costs no request, and what a crash costs is bounded."""

import os
import signal
import subprocess
import sys

import httpx
import pytest

from tests.drills.drills import run
from tests.engines import Engine
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.waiting import ROOT, until
from tests.swarm.cluster import Cluster
from tests.swarm.drills import DRILLS

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require("docker", "gunicorn")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), "gunicorn")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def test_every_machine_answers_with_its_static_files(cluster):
    names = cluster.static_files()
    assert names
    assert not [name for name in names if "404" in cluster.get(name)]


def test_a_release_that_cannot_be_imported_changes_nothing_but_where_its_files_would_be(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed("app/wsgi.py", "raise RuntimeError('broken')"):
        said = cluster.make(RELEASE="broken", fails=True)
    assert "site_assets has failed" in said
    assert "RuntimeError: broken" in said
    assert cluster.service("app")["Version"] == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REGISTRY": ""}, "swarm: REGISTRY is not set"),
        ({"REGISTRY": "registry:1", "RELEASE": "first"}, "connection refused"),
        ({"BACKEND": "guincorn"}, 'target stage "guincorn" could not be found'),
        ({"RELEASE": "a b"}, "swarm: RELEASE is 'a b': it must be "),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, sentence, cluster):
    said = cluster.make(fails=True, **settings)
    assert sentence in said
    assert "pushing" not in said


def test_secrets_reach_the_app_and_a_change_of_them_is_an_update(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed(".secrets", "LOG_LEVEL=guess"):
        assert "LOG_LEVEL is 'guess'" in cluster.make(RELEASE="first", fails=True)
    assert cluster.service("app")["Version"] == before
    with cluster.changed(".secrets", "MAX_BODY_BYTES=10"):
        cluster.make(RELEASE="first")
    assert cluster.service("app")["Version"] != before
    for url in cluster.urls:
        answer = httpx.post(f"{url}/echo", json="more than ten")
        assert (answer.status_code, "The limit is 10 bytes." in answer.text) == (413, True)  # nginx would let it pass
    cluster.make(RELEASE="first")
    assert {httpx.post(f"{url}/echo", json="more than ten").status_code for url in cluster.urls} == {200}


def test_an_nginx_that_would_not_start_is_refused_before_anything_is_changed(cluster):
    before = [cluster.service(name)["Version"] for name in ("app", "assets", "nginx")]
    with cluster.changed("nginx/site.conf", "nonsense;"):
        said = cluster.make(RELEASE="first", fails=True)
    assert 'unknown directive "nonsense"' in said
    assert "pushing" not in said
    assert "ALLOWED_HOSTS is 'b;'" in cluster.make(RELEASE="first", ALLOWED_HOSTS="a,b;", fails=True)
    assert [cluster.service(name)["Version"] for name in ("app", "assets", "nginx")] == before


def test_the_way_back_to_a_release_of_the_other_backend_says_which(cluster):
    cluster.manager("tag", "registry:5000/app:first-gunicorn", "registry:5000/app:old-uwsgi")
    cluster.manager("push", "--quiet", "registry:5000/app:old-uwsgi")
    said = cluster.make(RELEASE="old", fails=True)
    assert "there is no old on gunicorn, only old on uwsgi: BACKEND=uwsgi goes back to that" in said
    assert "building" not in said


def test_drills_that_are_ended_leave_nothing():
    require("docker", "gunicorn")
    with subprocess.Popen([sys.executable, "-m", "tests.swarm"], cwd=ROOT, stdout=subprocess.DEVNULL) as drills:
        name = f"wsgi-test-{drills.pid}-swarm"
        until(lambda: len(left(name)) == 5, "its network, its registry and three machines are there", 60)
        drills.send_signal(signal.SIGTERM)
        assert drills.wait(60) != 0
    assert left(name) == []


def test_a_machine_that_cannot_be_started_leaves_nothing():
    require("docker", "gunicorn")
    name = f"wsgi-test-{os.getpid()}-lonely-n1"
    with pytest.raises(AssertionError, match="no network"):
        Engine(name, "no network")
    assert left(name) == []


def left(name):
    """Return the networks and containers of this name."""
    networks = docker("network", "ls", "--filter", f"name={name}", "--quiet").split()
    return networks + docker("container", "ls", "--all", "--filter", f"name={name}", "--quiet").split()


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_drill_keeps_its_goal(drill, cluster):
    try:
        complaints = run(cluster, drill).complaints()
    except BaseException as error:
        error.add_note(cluster.errors())
        raise
    assert not complaints, f"{cluster.account()}\n{complaints}"
