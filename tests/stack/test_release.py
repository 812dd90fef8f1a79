"""make deploy, rollback and releases, on a copy of the tree: no request fails, whatever fails or is interrupted."""

import signal

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.drills.load import load
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.site import Site, later, other
from tests.stack.waiting import until


@pytest.fixture(
    scope="module",
    params=[pytest.param(backend, marks=pytest.mark.xdist_group(f"release-{backend}")) for backend in BACKENDS],
)
def site(request, tmp_path_factory):
    """Return a site whose first release, `one`, is live."""
    require("docker", request.param)
    site = Site(request.param, "-release", tmp_path_factory.mktemp("site"))
    try:
        site.make(RELEASE="one")
        yield site
    finally:
        site.down()


def test_first_deploy_works_alone_and_compose_up_changes_nothing(site):
    assert {"release": "one", "backend": site.backend}.items() <= site.version().items()
    assert site.env() == f"# mine\nBACKEND={site.backend}\nLOG_LEVEL=info\nRELEASE=one\n"
    before = site.resources()
    site.compose("up", "--detach", "--wait")
    assert site.resources()["containers"] == before["containers"]


def test_deploy_switch_and_rollback_lose_no_request(site):
    nginx = site.inspect("nginx")["Id"]
    site.execute("app", "touch", "/run/app/0123456789ab.sock")  # a killed container leaves its socket
    with load(site.url) as clients:
        for release, backend in [("two", site.backend), ("two", other(site.backend))]:
            site.make(RELEASE=release, BACKEND=backend)
            assert {"release": release, "backend": backend}.items() <= site.version().items()
            assert len(site.resources()["containers"]) == 1
            assert site.resources()["sockets"] == {"live.sock", f"{site.version()['instance']}.sock"}
        site.make("rollback")
        assert {"release": "two", "backend": site.backend}.items() <= site.version().items()
        site.make("rollback", RELEASE="one")
        assert site.version()["release"] == "one"
    assert len(clients.answers) > 100
    assert clients.outcomes() == {}
    assert site.inspect("nginx")["Id"] == nginx
    assert site.inspect("app")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert site.make("releases").splitlines() == [
        f"  two on {other(site.backend)}",
        f"  two on {site.backend}",
        f"* one on {site.backend}",
        f"deploy: one on {site.backend} is live",
    ]
    assert site.resources()["images"] == {f"one-{site.backend}", f"two-{site.backend}", f"two-{other(site.backend)}"}
    site.stop_app()
    site.start_app()  # needs the container of `assets`
    until(site.is_up, "the site is up")


BROKEN = {
    "does not build": ("1 +", "SyntaxError"),
    "cannot be imported": ("\nimport nowhere\n", "No module named 'nowhere'"),
    "is never ready": ('\nhealth.CHECKS["nothing"] = lambda: False\n', "it is running and unhealthy"),
    "exits after three seconds": (later("os.kill(1, 15)"), "failed while it was watched: it is "),
    "loses its workers every three seconds": (later("os._exit(1)"), " workers exited"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_failed_release_is_removed_and_the_live_one_stays_if_it(fault, site):
    text, reason = BROKEN[fault]
    before, env = site.resources(), site.env()
    site.change("app/wsgi.py", text)
    site.change("app/static/root/robots.txt", "# of a failed release\n")
    try:
        with load(site.url) as clients:
            output = site.make(fails=True)
    finally:
        site.restore("app/wsgi.py")
        site.restore("app/static/root/robots.txt")
    assert "failed" not in httpx.get(f"{site.url}/robots.txt").text
    assert reason in output
    assert clients.outcomes() == {}
    assert (site.resources(), site.env()) == (before, env)


def test_unknown_backend_is_refused_and_changes_nothing(site):
    before, env = site.resources(), site.env()
    assert 'target stage "guincorn" could not be found' in site.make(fails=True, BACKEND="guincorn")
    assert (site.resources(), site.env()) == (before, env)


@pytest.mark.parametrize("name", ["dev", "candidate", "../x", "a b", "-x"])
def test_invalid_name_is_refused(name, site):
    assert f"RELEASE is {name!r}: it must be " in site.make(fails=True, RELEASE=name)


def test_used_name_is_refused_and_its_image_kept(site):
    before = site.inspect("app")["Image"]
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'one': another image has that name already" in site.make(fails=True, RELEASE="one")
    finally:
        site.restore("app/wsgi.py")
    assert docker("image", "inspect", f"{site.project}-app:one-{site.backend}", "--format", "{{.Id}}").strip() == before


def test_image_with_the_name_that_no_deploy_made_is_kept(site):
    taken = f"{site.project}-app:taken-{site.backend}"
    docker("tag", f"{site.project}-app:one-{site.backend}", taken)
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'taken': another image has that name already" in site.make(fails=True, RELEASE="taken")
    finally:
        site.restore("app/wsgi.py")
        docker("image", "rm", taken)  # fails if the deploy removed it


def test_deploy_of_a_stopped_site_starts_only_the_new_release(site):
    site.stop_app()
    assert "is not running" in site.make(RELEASE="after-a-stop")
    assert site.version()["release"] == "after-a-stop"
    assert len(site.resources()["containers"]) == 1


def test_second_deploy_at_the_same_time_is_refused(site):
    first = site.begin()
    assert "building" in first.stdout.readline()
    assert "another deploy is running here" in site.make(fails=True)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGINT, output


PHASES = ["building", "checking", "starting", "healthy", "promoting", "draining"]


@pytest.mark.parametrize(("number", "phases"), [(signal.SIGKILL, PHASES), (signal.SIGINT, PHASES[2:5])])
def test_interrupted_deploy_loses_no_request_and_the_next_one_cleans_up(number, phases, site):
    with load(site.url) as clients:
        for phase in phases:
            site.interrupt(phase, number, RELEASE=f"interrupted-{phase}-{number.name}")
            assert len(site.resources()["containers"]) in {1, 2}
        site.make(RELEASE=f"last-{number.name}")
    assert clients.outcomes() == {}
    assert f"RELEASE=last-{number.name}\n" in site.env()
    resources = site.resources()
    assert (len(resources["containers"]), resources["one-off"]) == (1, set())
    assert resources["sockets"] == {"live.sock", f"{site.version()['instance']}.sock"}
    assert resources["images"] == set((site.root / ".releases").read_text().split())
    assert (site.root / ".deploy").read_text() == ""


def test_images_of_old_releases_are_removed_and_no_others(site):
    live = f"{site.version()['release']}-{site.backend}"
    old = [f"old{number}-{site.backend}" for number in range(1, 5)]
    for tag in [*old, "yours"]:
        docker("tag", f"{site.project}-app:{live}", f"{site.project}-app:{tag}")
    (site.root / ".releases").write_text("\n".join([*old, live]))
    plain = docker("create", f"{site.project}-app:{live}").strip()
    docker("commit", plain, f"{site.project}-app:{old[0]}")  # an image with no other name
    docker("rm", plain)
    yours = docker("create", f"{site.project}-app:{old[0]}").strip()
    try:
        assert f"old1 on {site.backend} is kept: " in site.make(RELEASE="newer")
    finally:
        docker("rm", yours)
    site.make(RELEASE="newest")
    kept = [*old[2:], live, f"newer-{site.backend}", f"newest-{site.backend}"]
    assert (site.root / ".releases").read_text().split() == kept
    assert {*kept, "yours"} <= site.resources()["images"]
    assert old[0] not in site.resources()["images"]


def test_failed_first_deploy_leaves_nothing_and_frees_its_name(tmp_path):
    require("docker", BACKENDS[0])
    site = Site(BACKENDS[0], "-first", tmp_path)
    try:
        site.change("app/wsgi.py", later("os._exit(1)"))
        assert "its last log lines:" in site.make(fails=True, RELEASE="one")
        assert site.containers("app", one_off=False) == set()
        assert docker("image", "ls", "--quiet", f"{site.project}-app") == ""
        site.restore("app/wsgi.py")
        site.make(RELEASE="one")
        assert site.version()["release"] == "one"
    finally:
        site.down()
