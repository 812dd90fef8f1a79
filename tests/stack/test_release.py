"""make deploy, rollback and releases, on a copy of the tree: no request fails, whatever fails or is interrupted."""

import json
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from deploy.server.launch import BACKENDS
from tests.drills.kills import kill_at_each_step, wrong
from tests.drills.load import load
from tests.stack.compose import docker
from tests.stack.conftest import require
from tests.stack.site import Site, clone, later, other
from tests.stack.waiting import until

# In the tier of every change, one site is deployed on both backends, instead of a site for each.
STARTED_ON = [
    pytest.param(
        backend,
        marks=[pytest.mark.xdist_group(f"release-{backend}"), *[pytest.mark.nightly] * (backend != BACKENDS[0])],
    )
    for backend in BACKENDS
]


@pytest.fixture(scope="module", params=STARTED_ON)
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
    port = site.url.rpartition(":")[2]
    assert site.env() == f"# mine\nBACKEND={site.backend}\nLOG_LEVEL=info\nHTTP_PORT={port}\nRELEASE=one\n"
    before = site.resources()
    site.compose("up", "--detach", "--wait")
    assert site.resources()["containers"] == before["containers"]


def test_deploy_switch_and_rollback_lose_no_request(site):
    nginx = site.inspect("nginx")["Id"]
    site.execute("app", "touch", "/run/app/0123456789ab.sock")  # a killed container leaves its socket
    first, second = site.backend, other(site.backend)
    with load(site.url, pause=0.2) as clients:
        for release, backend in dict.fromkeys([("two", first), ("two", second), ("three", second)]):
            site.make(RELEASE=release, BACKEND=backend)
            assert {"release": release, "backend": backend}.items() <= site.version().items()
            assert len(site.resources()["containers"]) == 1
            assert site.resources()["sockets"] == {"live.sock", f"{site.version()['instance']}.sock"}
        site.make("rollback")
        assert {"release": "two", "backend": second}.items() <= site.version().items()
        site.make("rollback", RELEASE="one")
        assert {"release": "one", "backend": first}.items() <= site.version().items()
    assert len(clients.answers) > 100
    assert clients.outcomes() == {}
    assert site.inspect("nginx")["Id"] == nginx
    assert site.inspect("app")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert site.make("releases").splitlines() == [
        f"  two on {first}",  # only with gunicorn, uwsgi
        f"  three on {second}",
        f"  two on {second}",
        f"* one on {first}",
        f"deploy: one on {first} is live",
    ]
    assert site.resources()["images"] == {f"one-{first}", f"two-{first}", f"two-{second}", f"three-{second}"}
    site.stop_app()
    site.start_app()  # needs the container of `assets`
    until(site.is_up, "the site is up")


def at(condition, statement):
    """Return code for app/wsgi.py that runs a statement for the requests that meet a condition."""
    return f"""
whole = application
def application(environ, start_response):
    if {condition}:
        {statement}
    return whole(environ, start_response)
"""


BROKEN = {
    "does not build": ("1 +", "SyntaxError"),
    "cannot be imported": ("\nimport nowhere\n", "No module named 'nowhere'"),
    "is never ready": ('\nhealth.CHECKS["nothing"] = lambda: False\n', "it is running and unhealthy"),
    # On a busy machine three seconds can pass before the release is healthy.
    "exits after three seconds": (later("os.kill(1, 15)"), "(did not start|while it was watched|not ready .+): "),
    "fails on its first page": (at('environ["PATH_INFO"] == "/"', "raise ValueError"), "answers / with 500"),
    "hangs on a page": (
        at('environ["PATH_INFO"] == "/healthz"', "__import__('time').sleep(3600)"),
        "answers /healthz with nothing",
    ),
}
WORKERS = "loses its workers every three seconds"
BROKEN[WORKERS] = (later("os._exit(1)"), " of its workers exited")


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=[] if fault == WORKERS else pytest.mark.nightly) for fault in BROKEN]
)
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
    assert re.search(reason, output)
    assert clients.outcomes() == {}
    assert (site.resources(), site.env()) == (before, env)
    if "last log lines" in output:
        [name] = re.findall(r"more of its log is in (\S+)", output)
        assert (site.root / name).stat().st_size > 0
        assert len(list((site.root / name).parent.iterdir())) <= 5


@pytest.mark.nightly
def test_unknown_backend_is_refused_and_changes_nothing(site):
    before, env = site.resources(), site.env()
    assert 'target stage "guincorn" could not be found' in site.make(fails=True, BACKEND="guincorn")
    assert (site.resources(), site.env()) == (before, env)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["dev", "candidate", "../x", "a b", "-x"])
def test_invalid_name_is_refused(name, site):
    assert f"RELEASE is {name!r}: it must be " in site.make(fails=True, RELEASE=name)


@pytest.mark.nightly
def test_used_name_is_refused_and_its_image_kept(site):
    before = site.inspect("app")["Image"]
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'one': another image has that name already" in site.make(fails=True, RELEASE="one")
    finally:
        site.restore("app/wsgi.py")
    assert docker("image", "inspect", f"{site.project}-app:one-{site.backend}", "--format", "{{.Id}}").strip() == before


@pytest.mark.nightly
def test_image_with_the_name_that_no_deploy_made_is_kept(site):
    taken = f"{site.project}-app:taken-{site.backend}"
    docker("tag", f"{site.project}-app:one-{site.backend}", taken)
    site.change("app/wsgi.py", "\n# another\n")
    try:
        assert "RELEASE is 'taken': another image has that name already" in site.make(fails=True, RELEASE="taken")
    finally:
        site.restore("app/wsgi.py")
        docker("image", "rm", taken)  # fails if the deploy removed it


@pytest.mark.nightly
def test_deploy_of_a_stopped_site_starts_only_the_new_release(site):
    site.stop_app()
    before = site.containers("app", one_off=False)
    site.change("app/wsgi.py", later("os._exit(1)"))
    site.make(fails=True)
    site.restore("app/wsgi.py")
    assert site.containers("app", one_off=False) == before
    site.make(RELEASE="after-a-stop")
    assert site.version()["release"] == "after-a-stop"
    assert len(site.resources()["containers"]) == 1


@pytest.mark.nightly
def test_second_deploy_at_the_same_time_is_refused(site):
    first = site.begin()
    assert any("building" in line for line in first.stdout)
    assert re.search(r"another deploy is running \(\S+@\S+ since ", site.make(fails=True))
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGINT, output


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["write .env.new", "rename .env.new to .env", "sync the folder"])
def test_interrupt_at_the_record_is_before_it_or_after_it(step, site, tmp_path):
    steps = {"STEPS": str(tmp_path / "steps"), "KILL_AT": step, "SIGNAL": str(signal.SIGINT.value)}
    with load(site.url) as clients:
        with site.begin(module="tests.drills.kill_at", RELEASE=f"record-{step.split()[0]}", **steps) as process:
            output, _ = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGINT, output
        site.compose("up", "--detach", "--wait")
    assert clients.outcomes() == {}
    assert wrong(site) == []


PHASES = ["checking", "checking", "starting", "healthy", "promoting", "draining"]


@pytest.mark.nightly
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
    assert resources["images"] == set(site.releases())


@pytest.mark.nightly
def test_deploy_killed_at_each_step_loses_no_request(site, tmp_path):
    site.environ["WATCH_SECONDS"] = "1"
    assert [str(killed) for killed in kill_at_each_step(site, tmp_path) if killed.failed or killed.complaints] == []


@pytest.mark.nightly
def test_what_compose_would_interrupt_is_refused_and_a_new_network_is_not(site):
    before, compose = site.resources(), (site.root / "docker-compose.yml").read_text()
    with load(site.url) as clients:
        site.write("docker-compose.yml", compose.replace("private: { internal: true,", "private: { internal: false,"))
        output = site.make(fails=True, COMPOSE_PROGRESS="quiet")  # with which Compose would print no plan
        assert re.search(r"would interrupt the site.*Container \S+ Stopping.*Network \S+_private Removed", output)
        assert site.resources() == before
        site.write("docker-compose.yml", compose)
        database = {"image": f"{site.project}-nginx:local", "pull_policy": "never", "command": ["sleep", "60"]}
        overlay = {"services": {"app": {"depends_on": {"db": {"condition": "service_started"}}}, "db": database}}
        with_overlay = {"COMPOSE_FILE": "docker-compose.yml:overlay.yml"}
        site.write("overlay.yml", json.dumps(overlay))
        assert "the app depends on db: start it with `docker" in site.make(fails=True, **with_overlay)
        run = yaml.safe_load(compose)["volumes"]["run"]
        overlay = {"services": {"app": {"volumes": ["other:/run/app"]}}, "volumes": {"other": run}}
        site.write("overlay.yml", json.dumps(overlay))
        assert "nginx is connected to" in site.make(fails=True, **with_overlay)
        assert site.resources() == before
        changed = compose.replace("networks: [private]", "networks: [private, outbound]").replace("size=1m", "size=2m")
        site.write("docker-compose.yml", changed)
        assert f"volume {site.project}_run was changed" in site.make(RELEASE="outside", CLIENT_REQUESTS="10000")
        site.write("docker-compose.yml", compose)
        assert "nginx keeps its settings" in site.make(RELEASE="inside", CLIENT_REQUESTS="10000")
    assert clients.outcomes() == {}


@pytest.mark.nightly
def test_setting_on_the_command_line_is_refused(site):
    before = site.resources()
    assert "a deploy does not record WEB_THREADS=3: put it into .env" in site.make(fails=True, WEB_THREADS="3")
    assert site.resources() == before


@pytest.mark.parametrize(
    "text",
    [
        "export BACKEND=uwsgi",
        " BACKEND = uwsgi",
        "BACKEND: uwsgi",
        "B=uwsgi\nBACKEND=${B}",
        "BACKEND=x\nBACKEND='uwsgi' # y",
    ],
)
def test_env_is_read_as_compose_reads_it(text, tmp_path):
    require("docker", BACKENDS[0])
    site = Site(BACKENDS[0], "-env", tmp_path)
    site.write(".env", text)
    command = "from deploy.docker import find_project; print(find_project().release.backend)"
    found = subprocess.run(
        [sys.executable, "-c", command], cwd=site.root, env=site.environ, capture_output=True, text=True, check=True
    )
    assert found.stdout == "uwsgi\n"


@pytest.mark.nightly
@pytest.mark.parametrize("fault", ["paused", "out of processes"])
def test_rollback_does_not_need_the_live_container(fault, site):
    site.make(RELEASE=f"before-{fault.split()[0]}")
    site.make(RELEASE=f"sick-{fault.split()[0]}")
    if fault == "paused":
        site.pause("app")
    else:
        docker("update", "--pids-limit=1", site.inspect("app")["Id"])
    assert f"before-{fault.split()[0]} on {site.backend} is live" in site.make("rollback")
    assert site.version()["release"] == f"before-{fault.split()[0]}"
    assert len(site.resources()["containers"]) == 1


# begin gunicorn
# begin uwsgi
@pytest.mark.nightly
def test_rollback_to_a_backend_chooses_the_release_on_it(site):
    site.make(RELEASE="both", BACKEND=other(site.backend))
    site.make(RELEASE="both", BACKEND=site.backend)
    site.make(RELEASE="later", BACKEND=site.backend)
    site.make("rollback", RELEASE="both", BACKEND=other(site.backend))
    assert {"release": "both", "backend": other(site.backend)}.items() <= site.version().items()
    site.make("rollback", BACKEND=site.backend)
    assert {"release": "later", "backend": site.backend}.items() <= site.version().items()


# end uwsgi
# end gunicorn
@pytest.mark.nightly
def test_another_working_copy_deploys_on_what_runs(site, tmp_path):
    site.write(".env", f"{site.env()}WEB_THREADS=3\nAPP_MEMORY=400m\n")
    site.make(RELEASE="mine", BACKEND=other(site.backend))
    copy = clone(site, tmp_path)
    with load(site.url) as clients:
        first = site.begin(RELEASE="first")
        assert any("checking" in line for line in first.stdout)
        assert "another deploy is running" in copy.make(fails=True)
        first.communicate(timeout=300)
        copy.make(RELEASE="theirs")
    assert clients.outcomes() == {}
    assert {"release": "theirs", "backend": other(site.backend)}.items() <= site.version().items()
    port = site.url.rpartition(":")[2]
    found = {"LOG_LEVEL=info", "WEB_THREADS=3", f"APP_MEMORY={400 << 20}", f"HTTP_PORT={port}"}
    assert found <= set(copy.env().splitlines())
    assert wrong(copy) == []
    assert copy.make("releases") == site.make("releases")
    site.make("rollback", BACKEND=site.backend)  # and .env follows here, too
    assert f"BACKEND={site.backend}\n" in site.env()


@pytest.mark.nightly
def test_fixed_hostname_is_no_obstacle(site):
    compose = (site.root / "docker-compose.yml").read_text()
    site.write(
        "docker-compose.yml",
        compose.replace("    cpus:", "    hostname: app\n    cpus:"),
    )
    try:
        with load(site.url) as clients:
            for release in ("hostname-1", "hostname-2"):
                site.make(RELEASE=release)
                assert site.version()["release"] == release
        assert clients.outcomes() == {}
    finally:
        site.write("docker-compose.yml", compose)


@pytest.mark.nightly
def test_compose_builds_no_image_under_the_name_of_a_release(site):
    built = site.compose("build", "app", check=False, RELEASE="gone")
    assert "release gone has no image any more" in built.stderr + built.stdout
    assert f"gone-{site.backend}" not in site.resources()["images"]


@pytest.mark.nightly
def test_ignored_hangup_and_a_container_that_is_gone_do_not_fail_a_deploy(site):
    previous = site.inspect("app")["Id"]
    command = ["nohup", sys.executable, "-m", "deploy.release", "deploy"]
    environ = site.environ | {"RELEASE": "nohup"}
    with subprocess.Popen(command, cwd=site.root, env=environ, stdout=subprocess.PIPE, text=True) as process:
        output = ""
        for line in process.stdout:
            output += line
            if "healthy" in line:
                process.send_signal(signal.SIGHUP)
            if "draining" in line:
                docker("rm", "--force", previous)
    assert process.returncode == 0, output
    assert f"nohup on {site.backend} is live" in output


@pytest.mark.nightly
def test_release_that_fails_behind_nginx_is_replaced_by_the_previous_one(site):
    before, env = site.resources(), site.env()
    site.change("app/wsgi.py", at('"HTTP_X_REQUEST_ID" in environ', "raise ValueError"))
    shutil.rmtree(site.root / ".local", ignore_errors=True)
    site.write(".local", "")  # so the log cannot be kept
    try:
        output = site.make(fails=True)
    finally:
        site.restore("app/wsgi.py")
        (site.root / ".local").unlink()
    assert "nginx answers / with 500" in output
    assert "its log is lost: " in output
    assert httpx.get(f"{site.url}/").status_code == 200
    assert (site.resources(), site.env()) == (before, env)


@pytest.mark.nightly
def test_release_that_misuses_the_folder_of_the_sockets_does_not_stop_a_deploy(site):
    assert site.execute("app", "chmod", "700", "/run/app").returncode != 0
    assert site.execute("app", "sh", "-c", "cd /run/app && rm live.sock && mkdir live.sock").returncode == 0
    site.make(RELEASE="after-a-folder")
    assert site.version()["release"] == "after-a-folder"
    hijack = (
        "cd /run/app; mine=$(readlink live.sock); while :; do ls | grep -vxF -e live.sock -e $mine | xargs rm -f; done"
    )
    with ThreadPoolExecutor() as pool:
        pool.submit(site.execute, "app", "sh", "-c", hijack)
        with load(site.url) as clients:
            site.make(fails=True)
        assert clients.outcomes() == {}
        site.restart_app()  # ends the loop


@pytest.mark.nightly
def test_startup_seconds_governs_compose_and_a_deploy(site):
    env = site.env()
    site.change("app/wsgi.py", "\nimport time\ntime.sleep(12)\n")
    try:
        site.write(".env", f"{env}STARTUP_SECONDS=2\n")
        assert re.search(r"did not start.*raise STARTUP_SECONDS \(2s\)", site.make(fails=True, RELEASE="slow"))
        site.write(".env", f"{env}STARTUP_SECONDS=60\n")
        site.make(RELEASE="slow")
        site.compose("up", "--detach", "--wait", "--force-recreate", "app")
        for service in ("app", "assets"):
            assert "launch: still importing app.wsgi" in site.logs(service)
    finally:
        site.restore("app/wsgi.py")


@pytest.mark.nightly
def test_images_of_old_releases_are_removed_and_no_others(site):
    live = f"{site.version()['release']}-{site.backend}"
    old = [f"old{number}-{site.backend}" for number in range(1, 5)]
    for tag in [*old, "yours"]:
        docker("tag", f"{site.project}-app:{live}", f"{site.project}-app:{tag}")
    for number, tag in enumerate([*old, live]):
        if tag != live:
            docker("tag", f"{site.project}-app:{live}", f"{site.project}-history:{number:06}-{tag}")
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
    assert site.releases() == kept
    assert {*kept, "yours"} <= site.resources()["images"]
    assert old[0] not in site.resources()["images"]


@pytest.mark.nightly
def test_failed_first_deploy_leaves_nothing_and_frees_its_name(tmp_path):
    require("docker", BACKENDS[0])
    site = Site(BACKENDS[0], "-first", tmp_path)
    try:
        site.change("app/wsgi.py", later("os._exit(1)"))
        assert "its last log lines are:" in site.make(fails=True, RELEASE="one")
        assert site.containers("app", one_off=False) == set()
        assert docker("image", "ls", "--quiet", f"{site.project}-app") == ""
        site.restore("app/wsgi.py")
        site.make(RELEASE="one")
        assert site.version()["release"] == "one"
    finally:
        site.down()
