"""make deploy, rollback and releases, on a copy of the tree: nothing is lost, whatever fails or is interrupted."""

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


def test_the_first_deploy_needs_nothing_else_and_compose_leaves_it_as_it_is(site):
    assert {"release": "one", "backend": site.backend}.items() <= site.version().items()
    assert site.env() == f"# mine\nBACKEND={site.backend}\nLOG_LEVEL=info\nRELEASE=one\n"
    before = site.left()
    site.compose("up", "--detach", "--wait")
    assert site.left()["containers"] == before["containers"]


def test_a_deploy_a_switch_and_a_rollback_lose_no_request(site):
    nginx = site.inspect("nginx")["Id"]
    site.execute("app", "touch", "/run/app/0123456789ab.sock")  # as a container leaves it that was killed
    with load(site.url) as clients:
        for release, backend in [("two", site.backend), ("two", other(site.backend))]:
            site.make(RELEASE=release, BACKEND=backend)
            assert {"release": release, "backend": backend}.items() <= site.version().items()
            assert len(site.left()["containers"]) == 1
            assert site.left()["sockets"] == {"live.sock", f"{site.version()['instance']}.sock"}
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
    assert site.left()["images"] == {f"one-{site.backend}", f"two-{site.backend}", f"two-{other(site.backend)}"}
    site.stop_app()
    site.start_app()  # Compose wants to find the container of `assets`, too
    until(site.is_up, "the site is back")


BROKEN = {
    "does not build": ("1 +", "SyntaxError"),
    "cannot be imported": ("\nimport nowhere\n", "No module named 'nowhere'"),
    "is never ready": ('\nhealth.CHECKS["nothing"] = lambda: False\n', "it is running and unhealthy"),
    "dies after three seconds": (later("os.kill(1, 15)"), "did not last: "),
    "loses its workers every three seconds": (later("os._exit(1)"), "did not last: of its workers, "),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_release_is_removed_and_the_old_one_serves_on_if_it(fault, site):
    text, reason = BROKEN[fault]
    before, env = site.left(), site.env()
    site.change("app/wsgi.py", text)
    site.change("app/static/root/robots.txt", "# of a release that is refused\n")
    try:
        with load(site.url) as clients:
            said = site.make(fails=True)
    finally:
        site.restore("app/wsgi.py")
        site.restore("app/static/root/robots.txt")
    assert "refused" not in httpx.get(f"{site.url}/robots.txt").text
    assert reason in said
    assert clients.outcomes() == {}
    assert (site.left(), site.env()) == (before, env)


def test_a_backend_that_does_not_exist_changes_nothing(site):
    before, env = site.left(), site.env()
    assert 'target stage "guincorn" could not be found' in site.make(fails=True, BACKEND="guincorn")
    assert (site.left(), site.env()) == (before, env)


@pytest.mark.parametrize("name", ["dev", "candidate", "../x", "a b", "-x"])
def test_a_name_that_cannot_be_is_refused(name, site):
    assert f"RELEASE is {name!r}: it must be " in site.make(fails=True, RELEASE=name)


def test_a_name_that_is_taken_is_refused_and_its_image_kept(site):
    before = site.inspect("app")["Image"]
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'one': an image has that name already" in site.make(fails=True, RELEASE="one")
    finally:
        site.restore("app/wsgi.py")
    assert docker("image", "inspect", f"{site.project}-app:one-{site.backend}", "--format", "{{.Id}}").strip() == before


def test_an_image_that_no_deploy_has_made_is_kept_where_a_release_would_be_called_so(site):
    taken = f"{site.project}-app:taken-{site.backend}"
    docker("tag", f"{site.project}-app:one-{site.backend}", taken)
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'taken': an image has that name already" in site.make(fails=True, RELEASE="taken")
    finally:
        site.restore("app/wsgi.py")
        docker("image", "rm", taken)  # which fails where it is gone


def test_a_deploy_of_a_site_that_was_stopped_starts_the_new_release_alone(site):
    site.stop_app()
    assert "does not run" in site.make(RELEASE="after-a-stop")
    assert site.version()["release"] == "after-a-stop"
    assert len(site.left()["containers"]) == 1


def test_of_two_deploys_at_once_the_second_says_so_and_stops(site):
    first = site.begin()
    assert "building" in first.stdout.readline()
    assert "another deploy is at work here" in site.make(fails=True)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGINT, said


PHASES = ["building", "checking", "starting", "healthy", "promoting", "letting"]


@pytest.mark.parametrize(("how", "phases"), [(signal.SIGKILL, PHASES), (signal.SIGINT, PHASES[2:5])])
def test_a_deploy_that_is_interrupted_costs_nothing_and_the_next_one_cleans_up(how, phases, site):
    with load(site.url) as clients:
        for number, phase in enumerate(phases):
            site.interrupt(phase, how, RELEASE=f"interrupted-{number}-{how.name}")
            assert len(site.left()["containers"]) in {1, 2}
        site.make(RELEASE=f"last-{how.name}")
    assert clients.outcomes() == {}
    assert f"RELEASE=last-{how.name}\n" in site.env()
    left = site.left()
    assert (len(left["containers"]), left["one-off"]) == (1, set())
    assert left["sockets"] == {"live.sock", f"{site.version()['instance']}.sock"}
    assert left["images"] == set((site.root / ".releases").read_text().split())
    assert (site.root / ".deploy").read_text() == ""


def test_images_that_are_too_old_are_removed_and_nobody_elses(site):
    live = f"{site.version()['release']}-{site.backend}"
    old = [f"old{number}-{site.backend}" for number in range(1, 5)]
    for tag in [*old, "yours"]:
        docker("tag", f"{site.project}-app:{live}", f"{site.project}-app:{tag}")
    (site.root / ".releases").write_text("\n".join([*old, live]))
    plain = docker("create", f"{site.project}-app:{live}").strip()
    docker("commit", plain, f"{site.project}-app:{old[0]}")  # an image that has no other name
    docker("rm", plain)
    yours = docker("create", f"{site.project}-app:{old[0]}").strip()
    try:
        assert f"old1 on {site.backend} is kept: " in site.make(RELEASE="newer")
    finally:
        docker("rm", yours)
    site.make(RELEASE="newest")
    kept = [*old[2:], live, f"newer-{site.backend}", f"newest-{site.backend}"]
    assert (site.root / ".releases").read_text().split() == kept
    assert {*kept, "yours"} <= site.left()["images"]
    assert old[0] not in site.left()["images"]


def test_a_first_deploy_that_fails_leaves_nothing_and_the_next_may_have_its_name(tmp_path):
    require("docker", BACKENDS[0])
    site = Site(BACKENDS[0], "-first", tmp_path)
    try:
        site.change("app/wsgi.py", later("os._exit(1)"))
        assert "the last lines of" in site.make(fails=True, RELEASE="one")
        assert site.containers("app", one_off=False) == set()
        assert docker("image", "ls", "--quiet", f"{site.project}-app") == ""
        site.restore("app/wsgi.py")
        site.make(RELEASE="one")
        assert site.version()["release"] == "one"
    finally:
        site.down()
