"""The live release in .env, and the releases to roll back to, with the engine."""

import inspect
import json
import os
import re
import stat
from pathlib import Path

import pytest

from deploy.docker import Container, DeployError, Release, find_project, running_settings
from deploy.release import state
from tests.unit.configuration import example, services


def docker(environ, *arguments, **_):
    """Answer as `docker` does to the commands of deploy/release/state.py."""
    match arguments:
        case "compose", "--env-file", path, "config", *_:
            # As Compose reads it, in short: the last assignment counts.
            found = dict(re.findall(r"^(RELEASE|BACKEND)=(\S*)$", Path(path).read_text(errors="replace"), re.MULTILINE))
            return config(Release(found["RELEASE"], found["BACKEND"]), environ)
        case "compose", "config", "--no-interpolate":
            return "WEB_THREADS: null\nCLIENT_REQUESTS: null\n"
        case "compose", "config", *_:
            return config(ONE, environ)
        case "container", action, *_:
            return NGINX["Id"] if action == "ls" else json.dumps([NGINX])
        case "image", "ls", *_:
            return "\n".join(HISTORY)
        case "tag", _, image:
            HISTORY.append(image.partition(":")[2])
        case "image", "rm", image:
            HISTORY.remove(image.partition(":")[2])
    return ""


HISTORY: list[str] = []


def config(release, environ):
    app = {"image": f"site-app:{release.tag}", "build": {}, "environment": {"WEB_THREADS": environ.get("WEB_THREADS")}}
    nginx = {"environment": {"CLIENT_REQUESTS": environ.get("CLIENT_REQUESTS"), "SITE_URL": "http://localhost"}}
    return json.dumps({"name": "site", "services": {"app": app, "nginx": nginx}})


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HISTORY.clear()
    for module in ("docker", "release.state"):
        monkeypatch.setattr(
            f"deploy.{module}.docker",
            lambda *arguments, environ=None, **_: docker(os.environ if environ is None else environ, *arguments),
        )


def write_live(release):
    """Do what a deploy does with .env."""
    state.prepare(release)()


APP = {
    "Config": {"Env": ["WEB_THREADS=it's 3", "PATH=/bin"], "Healthcheck": {"StartPeriod": 40 * 10**9}, "Labels": {}},
    "HostConfig": {"NanoCpus": 1500000000, "Memory": 1 << 29},
}
LABELS = {"working_dir": "/elsewhere", "config_files": "/elsewhere/docker-compose.yml,/elsewhere/deploy/tls.yml"}
NGINX = {
    "Id": "1",
    "Image": "sha256:1",
    "State": {"Status": "running"},
    "RestartCount": 0,
    "Config": {
        "Image": "site-nginx:local",
        "Env": ["CLIENT_REQUESTS=9", "SITE_URL=http://localhost:81"],
        "Labels": {f"com.docker.compose.project.{name}": value for name, value in LABELS.items()},
    },
    "HostConfig": {
        "PortBindings": {
            "8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "81"}],
            "8443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "444"}],
        }
    },
}


def container(release):
    return Container("0", f"site-app:{release.tag}", "sha256:0", "running", "healthy", 0, APP)


ONE, TWO = Release("1-rc.1", "gunicorn"), Release("2", "uwsgi")


def test_release_is_read_back_from_its_tag():
    assert ONE.tag == "1-rc.1-gunicorn"
    assert Release.from_tag(ONE.tag) == ONE
    assert str(ONE) == "1-rc.1 on gunicorn"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "BACKEND=uwsgi\nRELEASE=2\n"),
        ("A=b", "A=b\nBACKEND=uwsgi\nRELEASE=2\n"),
        ("# mine\n\nRELEASE=1\nA=b\n", "# mine\n\nRELEASE=2\nA=b\nBACKEND=uwsgi\n"),
        ("#RELEASE=dev\nMY_RELEASE=3\n", "#RELEASE=dev\nMY_RELEASE=3\nBACKEND=uwsgi\nRELEASE=2\n"),
        ("RELEASE=1\nA=b\nRELEASE=0\nBACKEND=x", "RELEASE=2\nA=b\nBACKEND=uwsgi\n"),
        ("export RELEASE = '1'\n  BACKEND: x\n", "RELEASE=2\nBACKEND=uwsgi\n"),
        (
            "TEXT='a\nRELEASE=1\n'\n# it's\nBACKEND=x # mine\n",
            "TEXT='a\nRELEASE=1\n'\n# it's\nBACKEND=uwsgi\nRELEASE=2\n",
        ),
        ('TEXT="\\"\nBACKEND=x"\n', 'TEXT="\\"\nBACKEND=x"\nBACKEND=uwsgi\nRELEASE=2\n'),
        (
            "\ufeffBACKEND=x\nA=\N{LATIN SMALL LETTER E WITH ACUTE}",
            "\ufeffBACKEND=x\nA=\N{LATIN SMALL LETTER E WITH ACUTE}\nBACKEND=uwsgi\nRELEASE=2\n",
        ),
    ],
)
def test_write_live_sets_the_release_once_and_keeps_every_other_line(before, after):
    state.ENV.write_bytes(before.encode())
    write_live(TWO)
    assert state.ENV.read_bytes().decode() == after


def test_write_live_creates_env_and_no_other_file():
    write_live(TWO)
    assert state.ENV.read_text() == "BACKEND=uwsgi\nRELEASE=2\n"
    assert {path.name for path in state.ENV.parent.iterdir()} == {".env"}


def test_env_keeps_its_permissions_and_stays_a_symlink(tmp_path):
    (tmp_path / "elsewhere").write_text("A=b\n")
    (tmp_path / "elsewhere").chmod(0o600)
    state.ENV.symlink_to("elsewhere")
    write_live(TWO)
    assert state.ENV.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o600


@pytest.fixture
def when_written(monkeypatch):
    """Return the os.stat results of the files that are written, taken once they have their text."""
    found = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(os.fstat(file)))
    return found


def test_env_is_never_readable_by_others_while_it_is_replaced(when_written):
    state.ENV.write_text("SECRET=1\n")
    state.ENV.chmod(0o600)
    # A deploy that is killed leaves this file.
    state.ENV.with_name(".env.new").write_text("")
    state.ENV.with_name(".env.new").chmod(0o644)
    write_live(TWO)
    assert stat.S_IMODE(when_written[0].st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_keeps_the_owner_of_env(when_written):
    state.ENV.write_text("A=b\n")
    os.chown(state.ENV, 1234, 2345)
    write_live(TWO)
    for found in (when_written[0], state.ENV.stat()):
        assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_env_is_replaced_even_if_its_owner_cannot_be_kept(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    state.ENV.write_text("A=b\n")
    state.ENV.chmod(0o640)
    write_live(TWO)
    assert stat.S_IMODE(state.ENV.stat().st_mode) == 0o640


def test_bytes_that_are_not_utf_8_are_kept():
    state.ENV.write_bytes(b"A=\xff\n")
    write_live(TWO)
    assert state.ENV.read_bytes() == b"A=\xff\nBACKEND=uwsgi\nRELEASE=2\n"


def test_env_changes_only_in_the_last_step():
    state.ENV.write_text("A=b\n")
    commit = state.prepare(TWO)
    assert state.ENV.read_text() == "A=b\n"
    commit()
    assert state.ENV.read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"


def test_env_in_which_compose_would_read_another_release_is_refused(monkeypatch):
    monkeypatch.setattr("deploy.docker.docker", lambda *_, **__: config(ONE, {}))
    with pytest.raises(DeployError, match=r"cannot write 2 on uwsgi to .env, Compose reads 1-rc.1 on gunicorn in it"):
        state.prepare(TWO)
    assert not state.ENV.exists()


def test_setting_of_the_app_in_the_environment_is_refused_and_one_of_nginx_reported(monkeypatch, capsys):
    monkeypatch.setenv("OTHER", "81")
    state.check_settings(find_project())
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("CLIENT_REQUESTS", "9")
    state.check_settings(find_project())
    assert "a deploy does not record CLIENT_REQUESTS=9: put it into .env" in capsys.readouterr().out
    monkeypatch.setenv("WEB_THREADS", "3")
    with pytest.raises(DeployError, match=r"a deploy does not record .*WEB_THREADS=3.*: put it into"):
        state.check_settings(find_project())


def test_env_follows_the_live_release(capsys):
    state.ENV.write_text("A=b\n")
    state.follow(find_project(), container(TWO))
    assert state.ENV.read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"
    assert "writing 2 on uwsgi to it" in capsys.readouterr().out
    state.follow(find_project(), container(ONE))  # which Compose reads: nothing to do
    assert state.ENV.read_text() == "A=b\nBACKEND=uwsgi\nRELEASE=2\n"


def test_without_env_the_settings_are_those_of_the_containers(tmp_path):
    (tmp_path / "docker-compose.yml").touch()
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "tls.yml").touch()
    state.follow(find_project(), container(ONE))
    lines = state.ENV.read_text().splitlines()
    assert sorted(lines[:-2]) == [
        "APP_CPUS=1.5",
        "APP_MEMORY=536870912",
        "CLIENT_REQUESTS=9",
        "COMPOSE_FILE=docker-compose.yml:deploy/tls.yml",
        "HTTPS_PORT=444",
        "HTTP_BIND=0.0.0.0",
        "HTTP_PORT=81",
        "STARTUP_SECONDS=40",
        "WEB_THREADS='it\\'s 3'",
    ]
    assert lines[-2:] == ["BACKEND=gunicorn", "RELEASE=1-rc.1"]


def test_without_env_every_setting_of_the_example_is_found_in_the_containers():
    """Each is a variable of the app or of nginx, or is read from their limits and ports."""
    text = inspect.getsource(running_settings)
    others = {"BACKEND", "RELEASE", "REGISTRY", "REPLICAS"}  # the live release's own, and settings of deploy/swarm
    others |= {"PROMETHEUS_PORT", "ALERTMANAGER_PORT"}  # only with monitoring
    passed_on = {name for service in ("app", "nginx") for name in services[service]["environment"]}
    for name in re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE):
        assert name in passed_on | others or name.startswith("LOCUST_") or f'"{name}"' in text


def test_history_lists_each_release_once_the_live_one_last():
    project = find_project()
    for release in (ONE, TWO, TWO, ONE):
        state.record(project, container(release))
    assert state.history(project) == [
        ("site-history:000002-2-uwsgi", TWO),
        ("site-history:000003-1-rc.1-gunicorn", ONE),
    ]
