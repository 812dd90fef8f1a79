"""The decisions of `make swarm-deploy`, with a stub for `docker`: order, backend, failures."""

import re
from types import SimpleNamespace

import pytest

from deploy.docker import DeployError
from deploy.server.launch import BACKENDS
from deploy.swarm import __main__ as swarm
from deploy.swarm import rollout

CONTAINER = {
    "Image": "registry:5000/app:one-two-uwsgi@sha256:0",
    "Env": ["LISTEN=0.0.0.0:8000", "LOG_LEVEL", "WEB_THREADS=2"],
    "Secrets": [{"SecretName": "site_app_0"}],
}
LIVE = {"Spec": {"TaskTemplate": {"ContainerSpec": CONTAINER}, "Mode": {"Replicated": {"Replicas": 3}}}}


@pytest.mark.parametrize(
    ("environment", "env_file", "live", "backend"),
    [
        ("", "", {}, BACKENDS[0]),
        ("", "uwsgi", {}, "uwsgi"),
        ("", "gunicorn", LIVE, "uwsgi"),  # .env does not switch the backend
        ("gunicorn", "uwsgi", LIVE, "gunicorn"),
    ],
)
def test_backend_is_the_requested_one_or_the_live_one(environment, env_file, live, backend, monkeypatch):
    monkeypatch.setenv("BACKEND", environment)
    assert swarm.backend({"BACKEND": env_file}, live) == backend


def test_nginx_has_a_new_tag_only_if_its_image_changes(tmp_path, monkeypatch):
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
    "output",
    [
        "Error response from daemon: manifest for r:5000/app:1 not found: manifest unknown: manifest unknown",
        "repository r:5000/app not found: name unknown: repository name not known to registry",
        'failed to resolve reference "r:5000/app:1": r:5000/app:1: not found\n',
        "pull access denied for me/app, repository does not exist or may require 'docker login': denied",
    ],
)
def test_image_is_missing_if_the_registry_says_so(output, monkeypatch):
    monkeypatch.setattr(swarm, "docker", refuses(output))
    assert not swarm.is_in_registry("r:5000/app:1")


@pytest.mark.parametrize(
    "output",
    [
        "Get https://r:5000/v2/: dial tcp: lookup r: no such host",
        "Get https://r:5000/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
        "Head https://r:5000/v2/app/manifests/1: no basic auth credentials",
        "unauthorized: authentication required",
        'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH, out: ``',
    ],
)
def test_image_is_not_missing_if_the_registry_does_not_answer(output, monkeypatch):
    monkeypatch.setattr(swarm, "docker", refuses(output))
    with pytest.raises(DeployError, match=re.escape(output)):
        swarm.is_in_registry("r:5000/app:1")


def refuses(output):
    def docker(*arguments, **options):
        raise DeployError(f"docker {' '.join(arguments)} ... failed: {output}")

    return docker


class Engine:
    """Records the `docker` commands and the services that are waited for; commands and services in `refused` fail."""

    def __init__(self, images):
        self.images = images
        self.commands = []
        self.refused = {}

    def docker(self, *arguments, settings=None, **options):
        self.commands.append(" ".join(arguments[:2] if arguments[0] == "run" else arguments))
        if arguments[:2] == ("stack", "deploy"):
            self.commands[-1] = "{} {RELEASE} {BACKEND} {SECRETS} {AHEAD}".format(arguments[-2], **settings).strip()
        if arguments[0] in self.refused:
            raise DeployError(self.refused[arguments[0]])
        if arguments[0] == "pull" and arguments[-1] not in self.images:
            raise DeployError("manifest unknown")
        return "true" if arguments[0] == "info" else ""

    def wait(self, name):
        self.commands.append(f"wait {name}")
        if name in self.refused:
            raise DeployError(self.refused[name])


GIVEN = {"COMPOSE_PROJECT_NAME": "site", "REGISTRY": "r:5000", "AHEAD": "from the environment"}


@pytest.fixture
def engine(monkeypatch):
    """Return an engine on which one-two is live on uWSGI, while RELEASE is two."""
    monkeypatch.setenv("RELEASE", "two")
    monkeypatch.setenv("BACKEND", "")
    engine = Engine({"r:5000/nginx:0", "r:5000/app:two-uwsgi"})
    monkeypatch.setattr(swarm, "docker", engine.docker)
    for name, stub in {
        "fingerprint": lambda: "0",
        "create_secret": lambda stack: "site_app_1",
        "service": lambda name: LIVE,
        "wait_for_update": engine.wait,
        "wait_for_job": engine.wait,
    }.items():
        monkeypatch.setattr(swarm, name, stub)
    return engine


AHEAD = ["deploy/swarm/stack-assets.yml two uwsgi site_app_1 --ahead", "wait site_assets"]
UPDATE = ["deploy/swarm/stack.yml two uwsgi site_app_1", "wait site_nginx", "wait site_app"]
AFTER = ["deploy/swarm/stack-assets.yml two uwsgi site_app_1", "wait site_assets"]
BACK = ["deploy/swarm/stack-assets.yml one-two uwsgi site_app_0"]


def test_files_at_the_root_are_published_when_the_release_is_live(engine):
    swarm.deploy({**GIVEN})
    assert engine.commands[-7:] == AHEAD + UPDATE + AFTER


@pytest.mark.parametrize(("refused", "done"), [("site_assets", AHEAD), ("site_app", AHEAD + UPDATE)])
def test_failed_release_leaves_the_job_of_the_live_one(refused, done, engine):
    engine.refused[refused] = "no"
    with pytest.raises(DeployError, match="no"):
        swarm.deploy({**GIVEN})
    assert engine.commands[-len(done) - 1 :] == done + BACK


def test_failed_update_of_nginx_does_not_stop_the_release(engine):
    engine.refused["site_nginx"] = "no"
    with pytest.raises(DeployError, match="two on uwsgi is live, but the update of nginx failed: no"):
        swarm.deploy({**GIVEN})
    assert engine.commands[-7:] == AHEAD + UPDATE + AFTER


def test_both_failures_are_reported(engine):
    engine.refused |= {"site_nginx": "no", "site_app": "nor this"}
    with pytest.raises(DeployError, match="nor this\nno"):
        swarm.deploy({**GIVEN})


def test_settings_of_the_live_release_are_read_from_its_service():
    names = {"REGISTRY": "registry:5000", "RELEASE": "one-two", "BACKEND": "uwsgi", "SECRETS": "site_app_0"}
    assert swarm.settings_of(LIVE) == names | {"LISTEN": "0.0.0.0:8000", "LOG_LEVEL": "", "WEB_THREADS": "2"}


def test_refused_nginx_configuration_changes_nothing(engine):
    engine.images.clear()
    engine.refused["run"] = "nginx: [emerg] no"
    with pytest.raises(DeployError, match="emerg"):
        swarm.deploy({**GIVEN})
    assert [each.partition(" ")[0] for each in engine.commands] == [
        "info",
        *["pull"] * (1 + len({"uwsgi", *BACKENDS})),
        *["build"] * 2,
        "run",
    ]


# begin gunicorn
# begin uwsgi
def test_release_of_the_other_backend_is_not_built_again(engine, monkeypatch):
    engine.images = {"r:5000/nginx:0", "r:5000/app:two-gunicorn"}
    with pytest.raises(DeployError, match="there is no two on uwsgi, only two on gunicorn: set BACKEND=gunicorn"):
        swarm.deploy({**GIVEN})
    assert not [each for each in engine.commands if each.startswith(("build", "push", "deploy"))]
    monkeypatch.setenv("BACKEND", "uwsgi")
    swarm.deploy({**GIVEN})
    assert "push --quiet r:5000/app:two-uwsgi" in engine.commands


# end uwsgi
# end gunicorn
def test_stack_deploy_uses_no_option_newer_than_docker_25(monkeypatch):
    command = []
    monkeypatch.setattr(swarm, "docker", lambda *arguments, **options: command.extend(arguments))
    swarm.stack_deploy("file", "site", {})
    assert command == ["stack", "deploy", "--with-registry-auth", "-c", "file", "site"]


def test_rollout_fails_only_if_no_further_replica_runs_in_time(monkeypatch):
    now = 0.0

    def sleep(seconds):
        nonlocal now
        now += seconds

    def tasks(name):  # one more runs every 200 seconds, five in all; the sixth never runs
        states = ["running"] * min(5, int(now / 200)) + ["preparing"]
        return [{"ID": str(number), "Status": {"State": state}} for number, state in enumerate(states)]

    monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(rollout, "tasks", tasks)
    with pytest.raises(DeployError, match="site_app: no further replica after 300 seconds"):
        list(rollout.waiting("site_app"))
    assert 1300 <= now < 1302
