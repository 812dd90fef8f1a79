"""deploy/swarm.yml says what docker-compose.yml says, in Swarm's words; what `make swarm-deploy` decides by itself."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from deploy import linger, live, serve, swarm
from deploy.record import Release

ROOT = Path(__file__).parents[3]

one_machine = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
files = [yaml.safe_load((ROOT / "deploy" / name).read_text()) for name in ("swarm-assets.yml", "swarm.yml")]
many_machines = files[0]["services"] | files[1]["services"]

# In both files in the same words.
SAME = {"cap_drop", "command", "healthcheck", "logging", "read_only", "user"}
# In one of them, or in other words, which are compared below.
OTHERWISE = {
    "build": "Swarm does not build",
    "cpus": "deploy.resources",
    "deploy": "what only Swarm has",
    "depends_on": "Swarm starts everything at once; deploy/swarm.py has the order that matters",
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


def test_a_stop_waits_for_the_longest_request_and_for_all_to_hear_of_it():
    assert many_machines["nginx"]["stop_grace_period"] == one_machine["nginx"]["stop_grace_period"]
    graceful = runpy.run_path(str(ROOT / "deploy" / "gunicorn.conf.py"))["graceful_timeout"]
    seconds = int(many_machines["app"]["stop_grace_period"].removesuffix("s"))
    assert seconds > linger.HEARSAY + linger.PATIENCE + live.PATIENCE + graceful


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


def test_nginx_finds_the_replicas_where_they_listen():
    port = many_machines["app"]["environment"]["LISTEN"].partition(":")[2]
    assert f"server app:{port} resolve" in (ROOT / "nginx" / "replicas.conf").read_text()


def test_an_update_replaces_one_after_the_other_and_goes_back_where_it_fails():
    update = many_machines["app"]["deploy"]["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("start-first", 1, "rollback")


LIVE = {"Spec": {"TaskTemplate": {"ContainerSpec": {"Image": "registry:5000/app:one-two-uwsgi@sha256:0"}}}}


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


def test_secrets_are_lines_of_name_and_value():
    assert serve.secrets("# none\n\nA=1\nB_2=x=y #\n") == {"A": "1", "B_2": "x=y #"}


@pytest.mark.parametrize("line", ["secret", "A B=secret", "=secret", "2=secret"])
def test_a_line_that_is_none_is_refused_without_telling_it(line):
    with pytest.raises(serve.SettingError, match="line 2: it must be NAME=value") as refused:
        serve.secrets(f"A=1\n{line}")
    assert "secret" not in str(refused.value).replace(str(serve.SECRETS), "")
