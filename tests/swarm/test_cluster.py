"""Three nodes: planned changes lose no request, and a crash loses a bounded number."""

import os
import re
import signal  # only with drills
import subprocess  # only with drills
import sys  # only with drills

import httpx
import pytest

from tests.drills.drills import run  # only with drills
from tests.engines import Engine
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.waiting import ROOT, until  # only with drills
from tests.swarm.cluster import Cluster
from tests.swarm.drills import DRILLS  # only with drills

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require("docker", "gunicorn")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), "gunicorn")
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def test_every_node_serves_the_static_files(cluster):
    names = cluster.static_files()
    assert names
    assert not [name for name in names if "404" in cluster.get(name)]


def test_node_without_the_static_files_of_the_release_is_not_ready(cluster):
    engine = cluster.engines[2]
    [container, *_] = engine.docker("ps", "--quiet", "--filter", "name=site_assets").split()
    folders = ["/var/lib/assets/.releases", "/var/lib/assets/.away"]
    engine.docker("exec", container, "mv", *folders)
    try:
        assert [cluster.readiness(each) for each in cluster.engines] == [200, 200, 503]
    finally:
        engine.docker("exec", container, "mv", *reversed(folders))
    assert cluster.is_up(engine)


def test_release_that_cannot_be_imported_does_not_change_the_app(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed("app/wsgi.py", "raise RuntimeError('broken')"):
        output = cluster.make(RELEASE="broken", fails=True)
    assert "site_release failed: n" in output
    assert "RuntimeError: broken" in output
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
def test_invalid_setting_is_refused(settings, sentence, cluster):
    output = cluster.make(fails=True, **settings)
    assert sentence in output
    assert "pushing" not in output


def test_secrets_reach_the_app_and_changing_them_triggers_an_update(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed(".secrets", "LOG_LEVEL=guess"):
        assert "LOG_LEVEL is 'guess'" in cluster.make(RELEASE="first", fails=True)
    assert cluster.service("app")["Version"] == before
    with cluster.changed(".secrets", "MAX_BODY_BYTES=10"):
        cluster.make(RELEASE="first")
    assert cluster.service("app")["Version"] != before
    for url in cluster.urls:
        response = httpx.post(f"{url}/echo", json="more than ten")
        assert (response.status_code, "The limit is 10 bytes." in response.text) == (413, True)  # the app's own limit
    with cluster.changed(".secrets", ""):
        cluster.make(RELEASE="first")
    assert {httpx.post(f"{url}/echo", json="more than ten").status_code for url in cluster.urls} == {200}


def test_release_command_runs_once_with_the_secrets_and_stops_a_failed_release(cluster):
    before = cluster.service("app")["Version"]
    with cluster.changed(".secrets", "KEY=hidden"):
        output = cluster.make(RELEASE="refused", RELEASE_COMMAND="echo key is $KEY; exit 3", fails=True)
        assert "key is hidden" in output
        assert "RELEASE_COMMAND failed with exit code 3" in output
        assert cluster.service("app")["Version"] == before
        output = cluster.make(RELEASE="commanded", RELEASE_COMMAND="echo key is $KEY")
        assert output.count("key is hidden") == 1
    assert cluster.releases() == {f"commanded-{cluster.backend}"}
    with cluster.changed(".secrets", ""):
        assert "RELEASE_COMMAND is not run" in cluster.make(RELEASE="first", RELEASE_COMMAND="false")


# begin monitoring
def test_metrics_of_every_replica_are_found_by_the_name_of_their_service(cluster):
    cluster.make(RELEASE="first", METRICS_PORT="9464")
    code = """
import socket, urllib.request
for address in sorted(socket.gethostbyname_ex("tasks.app")[2]):
    with urllib.request.urlopen(f"http://{address}:9464/metrics", timeout=10) as answer:
        print([line for line in answer.read().decode().splitlines() if line.startswith("wsgi_build_info")])
"""
    engine, container = next(
        (engine, found[0])
        for engine in cluster.engines
        if (found := engine.docker("ps", "--quiet", "--filter", "name=site_app.").split())
    )
    found = engine.docker("exec", container, "python", "-c", code).splitlines()
    assert len(found) == 2
    assert all('release="first"' in line for line in found)
    cluster.make(RELEASE="first")


# end monitoring
def test_doctor_and_status_find_every_node(cluster):
    output = cluster.make("doctor")
    found = [
        line for line in output.splitlines() if re.match(r"  ok  (n\d is|3 of 3 managers|site_|the registry has)", line)
    ]
    assert len(found) == 9
    output = cluster.make("status")
    assert re.findall(r"^n\d", output, re.MULTILINE) == ["n1", "n2", "n3"]
    assert output.count("site_assets ") == output.count("site_assets-beside ") == output.count("site_nginx ") == 3


def test_invalid_nginx_configuration_is_refused_and_changes_nothing(cluster):
    before = [cluster.service(name)["Version"] for name in ("app", "assets", "nginx")]
    with cluster.changed("nginx/site.conf", "nonsense;"):
        output = cluster.make(RELEASE="first", fails=True)
    assert 'unknown directive "nonsense"' in output
    assert "pushing" not in output
    assert "ALLOWED_HOSTS is 'b;'" in cluster.make(RELEASE="first", ALLOWED_HOSTS="a,b;", fails=True)
    assert [cluster.service(name)["Version"] for name in ("app", "assets", "nginx")] == before


# begin gunicorn
# begin uwsgi
def test_release_of_the_other_backend_is_named(cluster):
    cluster.manager("tag", "registry:5000/app:first-gunicorn", "registry:5000/app:old-uwsgi")
    cluster.manager("push", "--quiet", "registry:5000/app:old-uwsgi")
    output = cluster.make(RELEASE="old", fails=True)
    assert "there is no old on gunicorn, only old on uwsgi: set BACKEND=uwsgi" in output
    assert "building" not in output


# end uwsgi
# end gunicorn
# begin drills
def test_stopped_drills_leave_nothing():
    require("docker", "gunicorn")
    with subprocess.Popen([sys.executable, "-m", "tests.swarm"], cwd=ROOT, stdout=subprocess.DEVNULL) as drills:
        name = f"wsgi-test-{drills.pid}-swarm"
        until(lambda: len(resources(name)) == 5, "the network, the registry and three nodes exist", 60)
        drills.send_signal(signal.SIGTERM)
        assert drills.wait(60) != 0
    assert resources(name) == []


# end drills
def test_node_that_cannot_start_leaves_nothing():
    require("docker", "gunicorn")
    name = f"wsgi-test-{os.getpid()}-lonely-n1"
    with pytest.raises(AssertionError, match="no network"):
        Engine(name, "no network")
    assert resources(name) == []


def resources(name):
    """Return the networks and containers with this name."""
    networks = docker("network", "ls", "--filter", f"name={name}", "--quiet").split()
    return networks + docker("container", "ls", "--all", "--filter", f"name={name}", "--quiet").split()


# begin drills
@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_drill_meets_its_goal(drill, cluster):
    if drill in DRILLS[3:]:  # after "scale"
        cluster.manager("service", "scale", "site_app=3")
    try:
        complaints = run(cluster, drill).complaints()
    except BaseException as error:
        error.add_note(cluster.errors())
        raise
    assert not complaints, f"{cluster.history()}\n{complaints}"


# end drills
