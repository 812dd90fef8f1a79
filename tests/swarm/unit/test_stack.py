"""deploy/swarm/stack.yml and stack-assets.yml agree with docker-compose.yml, nginx and the servers."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from deploy.docker import Release
from deploy.server import drain, live, publish_static
from deploy.swarm.images import NGINX_SETTINGS
from tests.unit.configuration import directives

ROOT = Path(__file__).parents[3]

one_machine = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
names = ("swarm/stack-assets.yml", "swarm/stack.yml", "swarm/stack-release.yml")
files = [yaml.safe_load((ROOT / "deploy" / name).read_text()) for name in names]
many_machines = files[0]["services"] | files[1]["services"] | files[2]["services"]
beside = many_machines.pop("assets-beside")
health = many_machines["assets"].pop("healthcheck")  # on one machine the service ends

# Keys with the same value in both files.
SAME = {"cap_drop", "healthcheck", "logging", "read_only", "sysctls", "user"}
# Keys that only one file has, or that other tests compare.
OTHERWISE = {
    "build": "Swarm does not build",
    "command": "compared below",
    "cpus": "deploy.resources",
    "deploy": "only Swarm has it",
    "labels": "a new one starts the job again",
    "env_file": "Swarm has no optional file; the variables are in .secrets",
    "depends_on": "Swarm starts all services at once; deploy/swarm/__main__.py does what needs an order",
    "environment": "compared below",
    "image": "from a registry",
    "mem_limit": "deploy.resources",
    "networks": "compared below",
    "pids_limit": "deploy.resources",
    "ports": "Swarm publishes on every address of a node",
    "pull_policy": "a tag in the registry never changes",
    "restart": "deploy.restart_policy",
    "secrets": "only Swarm has them",
    "security_opt": "Swarm ignores it",
    "stop_grace_period": "compared below",
    "tmpfs": "compared below",
    "volumes": "no sockets, and nginx's configuration is in its image",
}
# Settings that only several machines need.
MORE = {"app": {"LISTEN": "0.0.0.0:8000"}, "nginx": {"NGINX_UPSTREAM": "replicas"}, "release": {}}


@pytest.mark.parametrize("name", many_machines)
def test_service_is_the_same_in_both_files(name):
    one, many = one_machine[name], many_machines[name]
    assert (one.keys() | many.keys()) - SAME <= OTHERWISE.keys()
    for key in SAME & (one.keys() | many.keys()):
        assert one[key] == many[key], key
    limits = many["deploy"]["resources"]["limits"]
    assert limits["memory"] == one["mem_limit"]
    assert limits["pids"] == one["pids_limit"]
    assert limits.get("cpus") == one.get("cpus")
    if name == "assets":  # it only publishes: the job `release` checks the settings
        assert not {"environment", "secrets"} & many.keys()
        return
    same = {name: value for name, value in one["environment"].items() if name != "SITE_URL"}  # the nodes have addresses
    assert many["environment"] == same | MORE[name]


def test_static_files_are_published_by_the_same_command_on_every_node_at_any_time():
    assert shlex.split(many_machines["assets"]["command"]) == [*one_machine["assets"]["command"], "--stay"]
    assert shlex.split(beside["command"]) == [*one_machine["assets"]["command"], "--ahead", "--stay"]
    for service in (many_machines["assets"], beside):
        assert service["deploy"]["mode"] == "global"  # a job would not run on a node that joins later
        assert service["deploy"]["restart_policy"]["condition"] == "any"
    assert health["test"] == ["CMD", "test", "-e", str(publish_static.PUBLISHED)] == beside["healthcheck"]["test"]
    assert (many_machines["assets"]["image"], beside["image"]) == ("${LIVE}", "${BESIDE}")


def test_stop_waits_for_dns_the_queue_and_the_longest_request():
    assert many_machines["nginx"]["stop_grace_period"] == one_machine["nginx"]["stop_grace_period"]
    graceful = directives["nginx proxy_read_timeout"]
    seconds = int(many_machines["app"]["stop_grace_period"].removesuffix("s"))
    assert seconds > drain.DNS_DELAY + drain.QUIET_SECONDS + live.ANSWER_SECONDS + graceful


def test_release_command_is_run_by_the_same_command():
    shell, option, command = shlex.split(many_machines["release"]["command"])
    check, _, then = command.partition(" && exec ")
    assert (shell, option, check) == ("sh", "-c", "python -m deploy.server.launch --check")
    assert then.split() == [*one_machine["release"]["command"], "--now"]


def test_every_service_is_in_both_files():
    assert many_machines.keys() == {name for name, service in one_machine.items() if "profiles" not in service}


def test_static_files_are_published_by_the_image_of_the_app_for_nginx():
    for key in ("image", "secrets", "user", "environment"):
        app = (
            {name: value for name, value in many_machines["app"][key].items() if name != "LISTEN"}
            if key == "environment"
            else many_machines["app"][key]
        )
        assert many_machines["release"][key] == app
    assert many_machines["assets"]["user"] == many_machines["app"]["user"]
    assert files[1]["secrets"] == files[2]["secrets"]
    assert files[0]["volumes"].items() <= files[1]["volumes"].items()
    assert files[0]["networks"].items() <= files[1]["networks"].items()


def test_tmpfs_mounts_are_the_same_in_both_files():
    for name, many in many_machines.items():
        found = {
            each["target"]: each.get("tmpfs", {}).get("size") for each in many["volumes"] if each["type"] == "tmpfs"
        }
        sizes = [re.fullmatch(r"([^:]+)(?::.*?size=(\d+)m)?", each).groups() for each in one_machine[name]["tmpfs"]]
        assert found == {target: size and int(size) * 1024**2 for target, size in sizes}


def test_networks_are_the_same_and_the_internal_one_has_no_gateway():
    assert one_machine["app"]["networks"] == ["private"]
    assert [many_machines[name]["networks"] for name in ("app", "assets")] == [["internal"], ["internal"]]
    # On one machine nginx and the app share a socket instead of a network. locust runs on one machine.
    assert [*one_machine["nginx"]["networks"], "internal"] == ["edge", "loadtest", "internal"]
    assert many_machines["nginx"]["networks"] == ["edge", "internal"]
    networks = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"]
    assert networks["private"]["internal"] is True
    for file in files:
        assert file["networks"]["internal"] == {"internal": True}


def test_replicas_are_spread_and_reserve_memory():
    deploy = many_machines["app"]["deploy"]
    assert deploy["placement"] == {"preferences": [{"spread": "node.id"}]}
    assert many_machines["nginx"]["deploy"]["mode"] == "global"
    for name in ("app", "nginx"):
        resources = many_machines[name]["deploy"]["resources"]
        reserved, limit = (resources[kind]["memory"] for kind in ("reservations", "limits"))
        assert 0 < megabytes(reserved) < megabytes(re.sub(r"^\$.*:-(.*)}$", r"\1", limit))


def megabytes(text):
    return int(text.removesuffix("m"))


def test_nginx_is_checked_with_every_setting_it_gets():
    given = many_machines["nginx"]["environment"]
    assert {*NGINX_SETTINGS, "NGINX_UPSTREAM"} == given.keys()
    assert {name for name, value in given.items() if value} == {"NGINX_UPSTREAM"}


def test_nginx_connects_to_the_port_of_the_replicas():
    port = many_machines["app"]["environment"]["LISTEN"].partition(":")[2]
    assert f"server app:{port} resolve" in (ROOT / "nginx" / "upstream-replicas.conf").read_text()


def test_update_replaces_one_replica_at_a_time_and_rolls_back():
    app, nginx = (many_machines[name]["deploy"] for name in ("app", "nginx"))
    update = app["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("start-first", 1, "rollback")
    # Without a delay the engine replaces the next replica before it sees this one crash.
    assert (update["delay"], update["monitor"], update["max_failure_ratio"]) == ("10s", "10s", 0)
    assert app["rollback_config"] == {"parallelism": 1, "order": "start-first", "monitor": "5s"}
    # Only one nginx fits on a port.
    update = nginx["update_config"]
    assert (update["order"], update["parallelism"], update["failure_action"]) == ("stop-first", 1, "rollback")
    assert update["delay"] == "10s"


def test_image_has_the_same_tag_as_on_one_machine():
    assert one_machine["app"]["image"].endswith(":${RELEASE:-dev}-${BACKEND:-gunicorn}")
    assert Release("r", "uwsgi").tag == "r-uwsgi"
