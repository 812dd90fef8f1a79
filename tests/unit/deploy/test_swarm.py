"""deploy/swarm/stack.yml agrees with docker-compose.yml; the decisions of `make swarm-deploy`."""

import re
import runpy
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from deploy.docker import Failure, Release
from deploy.server import drain, launch, live
from deploy.swarm import __main__ as swarm
from deploy.swarm import rollout

ROOT = Path(__file__).parents[3]

one_machine = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
files = [yaml.safe_load((ROOT / "deploy" / name).read_text()) for name in ("swarm/stack-assets.yml", "swarm/stack.yml")]
many_machines = files[0]["services"] | files[1]["services"]
publishing = many_machines["assets"].pop("command")

# In both files in the same words.
SAME = {"cap_drop", "healthcheck", "logging", "read_only", "user"}
# In one of them, or in other words, which are compared below.
OTHERWISE = {
    "build": "Swarm does not build",
    "command": "compared below",
    "cpus": "deploy.resources",
    "deploy": "what only Swarm has",
    "depends_on": "Swarm starts everything at once; deploy/swarm/__main__.py has the order that matters",
    "environment": "compared below",
    "image": "from a registry",
    "mem_limit": "deploy.resources",
    "network_mode": "Swarm has no `none`",
    "networks": "compared below",
    "pids_limit": "deploy.resources",
    "ports": "a port of each machine's own; HTTP_BIND is not Swarm's to choose",
    "pull_policy": "the registry's tags are never given to another image",
    "restart": "deploy.restart_policy",
    "secrets": "what only Swarm has",
    "security_opt": "Swarm ignores it",
    "stop_grace_period": "compared below",
    "tmpfs": "compared below",
    "volumes": "no sockets, and nginx's configuration is in its image",
}
# What only makes sense on several machines.
MORE = {"app": {"LISTEN": "0.0.0.0:8000"}, "nginx": {"NGINX_UPSTREAM": "replicas"}, "assets": {}}


@pytest.mark.parametrize("name", many_machines)
def test_both_files_say_the_same_of(name):
    one, many = one_machine[name], many_machines[name]
    assert (one.keys() | many.keys()) - SAME <= OTHERWISE.keys()
    for key in SAME & (one.keys() | many.keys()):
        assert one[key] == many[key], key
    limits = many["deploy"]["resources"]["limits"]
    assert limits["memory"] == one["mem_limit"]
    assert limits["pids"] == one["pids_limit"]
    assert limits.get("cpus") == one.get("cpus")
    assert many["environment"] == one["environment"] | MORE[name]


@pytest.mark.parametrize("more", [[], ["--ahead"]])
def test_the_files_are_published_by_the_same_command_and_before_that_ahead(more):
    assert shlex.split(publishing.replace("${AHEAD}", *more or [""])) == one_machine["assets"]["command"] + more


def test_a_stop_waits_for_the_longest_request_and_for_all_to_hear_of_it():
    assert many_machines["nginx"]["stop_grace_period"] == one_machine["nginx"]["stop_grace_period"]
    graceful = runpy.run_path(str(ROOT / "deploy" / "server" / "gunicorn.conf.py"))["graceful_timeout"]
    seconds = int(many_machines["app"]["stop_grace_period"].removesuffix("s"))
    assert seconds > drain.DNS_DELAY + drain.QUIET_SECONDS + live.ANSWER_SECONDS + graceful


def test_every_service_of_the_site_is_there():
    assert many_machines.keys() == {name for name, service in one_machine.items() if "profiles" not in service}


def test_the_files_are_published_by_what_will_serve_and_where_nginx_finds_them():
    for key in ("image", "secrets", "user"):
        assert many_machines["assets"][key] == many_machines["app"][key]
    for key in ("secrets", "volumes"):
        assert files[0][key] == files[1][key]
    assert files[0]["networks"].items() <= files[1]["networks"].items()


def test_both_files_have_the_same_room_in_memory():
    for name, many in many_machines.items():
        found = {
            each["target"]: each.get("tmpfs", {}).get("size") for each in many["volumes"] if each["type"] == "tmpfs"
        }
        sizes = [re.fullmatch(r"([^:]+)(?::.*?size=(\d+)m)?", each).groups() for each in one_machine[name]["tmpfs"]]
        assert found == {target: size and int(size) * 1024**2 for target, size in sizes}


def test_both_files_have_the_same_networks_and_no_way_out_of_the_inner_one():
    networks = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"]
    for name in ("app", "nginx"):
        # On one machine nginx and the app share a socket, and no network.
        assert set(many_machines[name]["networks"]) == {"internal", *one_machine[name]["networks"]}
    for file in files:
        assert file["networks"].items() <= networks.items()
    assert files[1]["networks"].keys() == networks.keys()
    assert networks["internal"] == {"internal": True}


def test_the_replicas_are_on_different_machines_each_with_room_for_what_it_needs():
    deploy = many_machines["app"]["deploy"]
    assert deploy["placement"] == {"preferences": [{"spread": "node.id"}]}
    assert many_machines["nginx"]["deploy"]["mode"] == "global"
    for name in ("app", "nginx"):
        resources = many_machines[name]["deploy"]["resources"]
        reserved, limit = (resources[kind]["memory"] for kind in ("reservations", "limits"))
        assert 0 < megabytes(reserved) < megabytes(re.sub(r"^\$.*:-(.*)}$", r"\1", limit))


def megabytes(text):
    return int(text.removesuffix("m"))


def test_nginx_is_tried_with_all_that_it_will_be_told():
    told = many_machines["nginx"]["environment"]
    assert {*swarm.NGINX_SETTINGS, "NGINX_UPSTREAM"} == told.keys()
    assert {name for name, value in told.items() if value} == {"NGINX_UPSTREAM"}


def test_nginx_finds_the_replicas_where_they_listen():
    port = many_machines["app"]["environment"]["LISTEN"].partition(":")[2]
    assert f"server app:{port} resolve" in (ROOT / "nginx" / "replicas.conf").read_text()


def test_an_update_replaces_one_after_the_other_and_goes_back_where_it_fails():
    app, nginx = (many_machines[name]["deploy"] for name in ("app", "nginx"))
    update = app["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("start-first", 1, "rollback")
    assert (update["monitor"], update["max_failure_ratio"]) == ("10s", 0)
    assert app["rollback_config"] == {"parallelism": 1, "order": "start-first", "monitor": "5s"}
    # A port of the machine has room for one.
    update = nginx["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("stop-first", 1, "rollback")


CONTAINER = {
    "Image": "registry:5000/app:one-two-uwsgi@sha256:0",
    "Env": ["LISTEN=0.0.0.0:8000", "LOG_LEVEL", "WEB_THREADS=2"],
    "Secrets": [{"SecretName": "site_app_0"}],
}
LIVE = {"Spec": {"TaskTemplate": {"ContainerSpec": CONTAINER}, "Mode": {"Replicated": {"Replicas": 3}}}}


@pytest.mark.parametrize(
    ("environment", "env_file", "live", "backend"),
    [
        ("", "", {}, "gunicorn"),
        ("", "uwsgi", {}, "uwsgi"),
        ("", "gunicorn", LIVE, "uwsgi"),  # a plain deploy never switches
        ("gunicorn", "uwsgi", LIVE, "gunicorn"),
    ],
)
def test_the_backend_is_the_one_that_is_asked_for_or_else_the_live_one(
    environment, env_file, live, backend, monkeypatch
):
    monkeypatch.setenv("BACKEND", environment)
    assert swarm.backend({"BACKEND": env_file}, live) == backend


def test_the_image_is_named_as_on_one_machine():
    images = {many_machines[name]["image"] for name in ("app", "assets")}
    assert images == {"${REGISTRY:-}/app:${RELEASE}-${BACKEND}"}
    assert one_machine["app"]["image"].endswith(":${RELEASE:-dev}-${BACKEND:-gunicorn}")
    assert Release("r", "uwsgi").tag == "r-uwsgi"


def test_nginx_is_another_only_where_its_configuration_or_its_base_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nginx").mkdir()
    conf, dockerfile = tmp_path / "nginx" / "nginx.conf", tmp_path / "Dockerfile"
    conf.write_text("a")
    text = (
        "ARG NGINX_IMAGE=nginx:1\nFROM app AS app\nUSER 1\n\nFROM ${NGINX_IMAGE} AS nginx\nUSER 2\n\nFROM c\nUSER 3\n"
    )
    found = []
    for one, another in [("USER 1", "USER 4"), ("USER 3", "USER 5"), ("nginx:1", "nginx:2"), ("USER 2", "USER 6")]:
        dockerfile.write_text(text := text.replace(one, another))
        found.append(swarm.fingerprint())
    conf.write_text("b")
    found.append(swarm.fingerprint())
    assert found[0] == found[1]
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: manifest for r:5000/app:1 not found: manifest unknown: manifest unknown",
        "repository r:5000/app not found: name unknown: repository name not known to registry",
        'failed to resolve reference "r:5000/app:1": r:5000/app:1: not found\n',
        "pull access denied for me/app, repository does not exist or may require 'docker login': denied",
    ],
)
def test_an_image_is_missing_where_the_registry_says_so(said, monkeypatch):
    monkeypatch.setattr(swarm, "docker", refuses(said))
    assert not swarm.is_there("r:5000/app:1")


@pytest.mark.parametrize(
    "said",
    [
        "Get https://r:5000/v2/: dial tcp: lookup r: no such host",
        "Get https://r:5000/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
        "Head https://r:5000/v2/app/manifests/1: no basic auth credentials",
        "unauthorized: authentication required",
        'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH, out: ``',
    ],
)
def test_an_image_that_could_not_be_asked_for_is_not_built_anew(said, monkeypatch):
    monkeypatch.setattr(swarm, "docker", refuses(said))
    with pytest.raises(Failure, match=re.escape(said)):
        swarm.is_there("r:5000/app:1")


def refuses(said):
    def docker(*arguments, **options):
        raise Failure(f"docker {' '.join(arguments)} ... has failed: {said}")

    return docker


class Engine:
    """Writes down what is asked of `docker`, and which updates are followed; refuses what it is told to."""

    def __init__(self, images):
        self.images = images
        self.asked = []
        self.refused = {}

    def docker(self, *arguments, settings=None, **options):
        self.asked.append(" ".join(arguments[:2] if arguments[0] == "run" else arguments))
        if arguments[:2] == ("stack", "deploy"):
            self.asked[-1] = "{} {RELEASE} {BACKEND} {SECRETS} {AHEAD}".format(arguments[-2], **settings).strip()
        if arguments[0] in self.refused:
            raise Failure(self.refused[arguments[0]])
        if arguments[0] == "pull" and arguments[-1] not in self.images:
            raise Failure("manifest unknown")
        return "true" if arguments[0] == "info" else ""

    def follow(self, name):
        self.asked.append(f"follow {name}")
        if name in self.refused:
            raise Failure(self.refused[name])


GIVEN = {"COMPOSE_PROJECT_NAME": "site", "REGISTRY": "r:5000", "AHEAD": "what a user has"}


@pytest.fixture
def engine(monkeypatch):
    """Return an engine on which one-two is live on uWSGI, and two is what is deployed."""
    monkeypatch.setenv("RELEASE", "two")
    monkeypatch.setenv("BACKEND", "")
    engine = Engine({"r:5000/nginx:0", "r:5000/app:two-uwsgi"})
    monkeypatch.setattr(swarm, "docker", engine.docker)
    for name, stub in {
        "fingerprint": lambda: "0",
        "secret": lambda stack: "site_app_1",
        "service": lambda name: LIVE,
        "follow": engine.follow,
        "follow_job": engine.follow,
    }.items():
        monkeypatch.setattr(swarm, name, stub)
    return engine


AHEAD = ["deploy/swarm/stack-assets.yml two uwsgi site_app_1 --ahead", "follow site_assets"]
UPDATE = ["deploy/swarm/stack.yml two uwsgi site_app_1", "follow site_nginx", "follow site_app"]
AFTER = ["deploy/swarm/stack-assets.yml two uwsgi site_app_1", "follow site_assets"]
BACK = ["deploy/swarm/stack-assets.yml one-two uwsgi site_app_0"]


def test_files_that_pages_do_not_name_are_published_when_the_release_is_live(engine):
    swarm.deploy({**GIVEN})
    assert engine.asked[-7:] == AHEAD + UPDATE + AFTER


@pytest.mark.parametrize(("refused", "done"), [("site_assets", AHEAD), ("site_app", AHEAD + UPDATE)])
def test_the_job_is_the_live_releases_again_where_another_is_refused(refused, done, engine):
    engine.refused[refused] = "no"
    with pytest.raises(Failure, match="no"):
        swarm.deploy({**GIVEN})
    assert engine.asked[-len(done) - 1 :] == done + BACK


def test_an_nginx_that_is_refused_leaves_nothing_of_the_app_undone(engine):
    engine.refused["site_nginx"] = "no"
    with pytest.raises(Failure, match="two on uwsgi is live, but nginx is not what it should be: no"):
        swarm.deploy({**GIVEN})
    assert engine.asked[-7:] == AHEAD + UPDATE + AFTER


def test_both_that_are_refused_are_told_of(engine):
    engine.refused |= {"site_nginx": "no", "site_app": "nor this"}
    with pytest.raises(Failure, match="nor this\nno"):
        swarm.deploy({**GIVEN})


def test_the_live_release_is_published_again_with_its_own_settings():
    names = {"REGISTRY": "registry:5000", "RELEASE": "one-two", "BACKEND": "uwsgi", "SECRETS": "site_app_0"}
    assert swarm.settings_of(LIVE) == names | {"LISTEN": "0.0.0.0:8000", "LOG_LEVEL": "", "WEB_THREADS": "2"}


def test_an_nginx_that_would_not_start_changes_nothing(engine):
    engine.images.clear()
    engine.refused["run"] = "nginx: [emerg] no"
    with pytest.raises(Failure, match="emerg"):
        swarm.deploy({**GIVEN})
    assert [each.partition(" ")[0] for each in engine.asked] == ["info", *["pull"] * 3, *["build"] * 2, "run"]


def test_the_way_back_to_a_release_of_the_other_backend_is_no_new_build(engine, monkeypatch):
    engine.images = {"r:5000/nginx:0", "r:5000/app:two-gunicorn"}
    with pytest.raises(Failure, match="there is no two on uwsgi, only two on gunicorn: BACKEND=gunicorn goes back"):
        swarm.deploy({**GIVEN})
    assert not [each for each in engine.asked if each.startswith(("build", "push", "deploy"))]
    monkeypatch.setenv("BACKEND", "uwsgi")
    swarm.deploy({**GIVEN})
    assert "push --quiet r:5000/app:two-uwsgi" in engine.asked


def test_docker_25_is_told_nothing_that_it_does_not_know(monkeypatch):
    said = []
    monkeypatch.setattr(swarm, "docker", lambda *arguments, **options: said.extend(arguments))
    swarm.stack_deploy("file", "site", {})
    assert said == ["stack", "deploy", "--with-registry-auth", "-c", "file", "site"]


def test_an_update_may_take_long_as_long_as_it_goes_on(monkeypatch):
    now = 0.0

    def sleep(seconds):
        nonlocal now
        now += seconds

    def tasks(name):  # every 200 seconds one more runs, five in all, and one never does
        states = ["running"] * min(5, int(now / 200)) + ["preparing"]
        return [{"ID": str(number), "Status": {"State": state}} for number, state in enumerate(states)]

    monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(rollout, "tasks", tasks)
    with pytest.raises(Failure, match="site_app has come no further in 300 seconds"):
        list(rollout.waiting("site_app"))
    assert 1300 <= now < 1302


def test_secrets_are_lines_of_name_and_value():
    assert launch.secrets("# none\n\nA=1\nB_2=x=y #\n") == {"A": "1", "B_2": "x=y #"}


@pytest.mark.parametrize("line", ["secret", "A B=secret", "=secret", "2=secret"])
def test_a_line_that_is_none_is_refused_without_telling_it(line):
    with pytest.raises(launch.SettingError, match="line 2: it must be NAME=value") as refused:
        launch.secrets(f"A=1\n{line}")
    assert "secret" not in str(refused.value).replace(str(launch.SECRETS), "")
