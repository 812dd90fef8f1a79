"""The decisions of `make swarm-deploy` and `make rollback`, with a stub for `docker`."""

import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from deploy.docker import DeployError
from deploy.server.launch import BACKENDS
from deploy.swarm import __main__ as swarm
from deploy.swarm import images, secret
from tests.swarm.unit.descriptions import NEW, NGINX, NODES, OLD, described, refuses


@pytest.mark.parametrize(
    ("environment", "env_file", "live", "backend"),
    [
        ("", "", "", BACKENDS[0]),
        ("", "uwsgi", "", "uwsgi"),
        ("", "gunicorn", OLD, "uwsgi"),  # .env does not switch the backend
        ("gunicorn", "uwsgi", OLD, "gunicorn"),
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
        found.append(images.fingerprint())
    conf.write_text("b")
    found.append(images.fingerprint())
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
    monkeypatch.setattr(images, "docker", refuses(output))
    assert not images.is_in_registry("r:5000/app:1")


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
    monkeypatch.setattr(images, "docker", refuses(output))
    with pytest.raises(DeployError, match=re.escape(output)):
        images.is_in_registry("r:5000/app:1")


class Engine:
    """Records the commands and the services that are waited for; commands and services in `refused` fail."""

    def __init__(self):
        self.images = {"r:5000/nginx:0", "r:5000/app:two-uwsgi"}
        self.commands = []
        self.refused = {}
        self.live = described(OLD, previous="r:5000/app:one-uwsgi@sha256:3")

    def docker(self, *arguments, settings=None, **options):
        command = " ".join(arguments[:2] if arguments[0] in ("run", "service") else arguments)
        if arguments[:2] == ("stack", "deploy"):
            names = {"assets": ("LIVE", "BESIDE"), "release": ("IMAGE", "RELEASE_COMMAND")}
            file = arguments[-2].removeprefix("deploy/swarm/stack").strip("-").removesuffix(".yml")
            command = " ".join([file or "app", *map(settings.get, names.get(file, ("IMAGE", "PREVIOUS")))]).strip()
        self.commands.append(command)
        if arguments[0] in self.refused:
            raise DeployError(self.refused[arguments[0]])
        if arguments[0] == "pull" and arguments[-1] not in self.images:
            raise DeployError("manifest unknown")
        return ""

    def rollout(self, name):
        def wait(*wanted):
            self.commands.append(f"wait {name}")
            if name in self.refused:
                raise DeployError(self.refused[name])
            return ""

        return SimpleNamespace(name=name, begin=lambda: None, wait=wait, wait_for_job=wait)


GIVEN = {"COMPOSE_PROJECT_NAME": "site", "REGISTRY": "r:5000", "RELEASE_COMMAND": "migrate"}


@pytest.fixture
def engine(monkeypatch):
    """Return an engine on which one-two is live on uWSGI, while RELEASE is two."""
    monkeypatch.setenv("RELEASE", "two")
    monkeypatch.setenv("BACKEND", "")
    engine = Engine()
    monkeypatch.setattr(images, "docker", engine.docker)
    monkeypatch.setattr(images, "fingerprint", lambda: "0")
    monkeypatch.setattr(images, "pinned", lambda image: NEW if "/app:" in image else NGINX)
    monkeypatch.setattr(secret, "check", lambda stack, live: "text")
    monkeypatch.setattr(secret, "create", lambda stack, text: "site_app_1")
    monkeypatch.setattr(secret, "prune", lambda stack: engine.commands.append("prune"))
    for name, stub in {
        "ask": engine.docker,
        "service": lambda name: engine.live,
        "nodes": lambda: NODES,
        "held": lambda stack: nullcontext(),
        "Rollout": engine.rollout,
    }.items():
        monkeypatch.setattr(swarm, name, stub)
    return engine


AHEAD = [f"assets {OLD} {NEW}", "wait site_assets", "wait site_assets-beside"]
CHECK = [f"release {NEW}", "wait site_release"]
UPDATE = [f"app {NEW} {OLD}", "wait site_app", "wait site_nginx"]
AFTER = [f"assets {NEW} {OLD}", "wait site_assets", "wait site_assets-beside"]


def test_files_of_both_releases_are_on_every_node_before_the_update_and_after(engine, capsys):
    swarm.deploy({**GIVEN})
    assert engine.commands[-12:] == [*AHEAD, *CHECK, *UPDATE, *AFTER, "prune"]
    output = capsys.readouterr().out
    assert "these nodes have them: n1. When they return, these get them: n2 (Down, Active)" in output
    assert "the registry has two on uwsgi: deploying this image, not the working tree" in output


@pytest.mark.parametrize(
    ("refused", "done"),
    [("site_assets-beside", AHEAD), ("site_release", AHEAD + CHECK), ("site_app", AHEAD + CHECK + UPDATE)],
)
def test_failed_release_ends_the_deploy(refused, done, engine):
    engine.refused[refused] = "no"
    with pytest.raises(DeployError, match="no"):
        swarm.deploy({**GIVEN})
    assert engine.commands[-len(done) :] == done


def test_failed_update_of_nginx_does_not_stop_the_release(engine):
    engine.refused["site_nginx"] = "no"
    with pytest.raises(DeployError, match="two on uwsgi is live, but the update of nginx failed: no"):
        swarm.deploy({**GIVEN})
    assert engine.commands[-3:] == AFTER


def test_both_failures_are_reported(engine):
    engine.refused |= {"site_nginx": "no", "site_app": "nor this"}
    with pytest.raises(DeployError, match="nor this\nno"):
        swarm.deploy({**GIVEN})


def test_new_release_runs_the_release_command(engine, monkeypatch):
    engine.images.clear()
    monkeypatch.setenv("BACKEND", "uwsgi")
    swarm.deploy({**GIVEN})
    assert f"release {NEW} migrate" in engine.commands


def test_release_deployed_again_keeps_the_previous_one(engine):
    engine.live = described(NEW, previous=OLD)
    swarm.deploy({**GIVEN})
    assert engine.commands[-12:] == [AFTER[0], *AHEAD[1:], *CHECK, *UPDATE, *AFTER, "prune"]


def test_rollback_returns_to_the_image_that_the_engine_names(engine, monkeypatch):
    monkeypatch.delenv("RELEASE")
    engine.live = described(NEW, previous=OLD)
    swarm.rollback({**GIVEN})
    assert engine.commands == [AFTER[0], *AHEAD[1:], "service update", "wait site_app", AHEAD[0], *AHEAD[1:]]


@pytest.mark.parametrize(("previous", "sentence"), [(OLD, "only one-two on uwsgi"), ("", "no earlier release")])
def test_rollback_to_a_release_that_the_engine_does_not_keep_is_refused(previous, sentence, engine):
    engine.live = described(NEW, previous=previous)  # RELEASE is two
    with pytest.raises(DeployError, match=f"keeps {sentence}: .* `RELEASE=name make swarm-deploy`"):
        swarm.rollback({**GIVEN})
    assert engine.commands == []


def test_refused_nginx_configuration_changes_nothing(engine):
    engine.images.clear()
    engine.refused["run"] = "nginx: [emerg] no"
    with pytest.raises(DeployError, match="emerg"):
        swarm.deploy({**GIVEN})
    assert [each.partition(" ")[0] for each in engine.commands] == [
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
def test_stack_deploy_uses_no_option_newer_than_docker_25_and_no_registry(monkeypatch):
    command = []
    monkeypatch.setattr(swarm, "ask", lambda *arguments, **options: command.extend(arguments))
    swarm.stack_deploy("file", "site", {})
    options = ["--with-registry-auth", "--resolve-image=never", "-c", "deploy/swarm/file"]
    assert command == ["stack", "deploy", *options, "site"]


def test_image_has_the_digest_of_its_own_registry(monkeypatch):
    digests = "other:5000/app@sha256:1 r:5000/app@sha256:2"
    monkeypatch.setattr(images, "docker", lambda *arguments: digests)
    assert images.pinned("r:5000/app:one") == "r:5000/app:one@sha256:2"
    with pytest.raises(DeployError, match="q:5000/app:one has no digest"):
        images.pinned("q:5000/app:one")


@pytest.mark.parametrize("command", ["rollback", "releases"])
def test_command_for_one_machine_is_run_unless_the_site_is_on_the_swarm(command, monkeypatch):
    called = []
    monkeypatch.setattr(swarm.sys, "argv", ["deploy.swarm", command])
    monkeypatch.setattr(swarm.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(swarm.one_machine, "main", lambda: called.append("one machine"))
    monkeypatch.setattr(swarm, "is_manager", lambda: False)
    swarm.main()
    monkeypatch.setattr(swarm, "is_manager", lambda: True)
    monkeypatch.setattr(swarm, "settings", lambda: {**GIVEN})
    monkeypatch.setattr(swarm, "service", lambda name: {})
    swarm.main()
    assert called == ["one machine"] * 2
    monkeypatch.setattr(swarm, "service", lambda name: described())
    monkeypatch.setattr(swarm, {"rollback": "rollback", "releases": "list_releases"}[command], called.append)
    swarm.main()
    assert called[2:] == [GIVEN]


def test_interrupted_command_says_what_the_engine_does(monkeypatch, capsys):
    def interrupted(given):
        with swarm.interruptible("the engine continues"):
            raise KeyboardInterrupt

    monkeypatch.setattr(swarm.sys, "argv", ["deploy.swarm"])
    monkeypatch.setattr(swarm.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(swarm, "is_manager", lambda: True)
    monkeypatch.setattr(swarm, "settings", lambda: {**GIVEN})
    monkeypatch.setattr(swarm, "deploy", interrupted)
    with pytest.raises(SystemExit) as raised:
        swarm.main()
    assert (raised.value.code, capsys.readouterr().err) == (130, "swarm: interrupted: the engine continues\n")
