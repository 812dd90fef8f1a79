"""`make doctor`: check that this machine and the current settings can run the site, and say what to do if they cannot.

It reads the settings as Compose resolves them from its files, .env and the environment. They include the changes
of an overlay or a fork.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.docker import DeployError, docker
from deploy.doctor import (
    clone,
    consistency,
    machine,
    swarm,  # only with swarm
)
from deploy.doctor.application import check_application
from deploy.doctor.configuration import environment, limits
from deploy.doctor.machine import Finding
from deploy.doctor.settings import PORTS, refusals


def main() -> None:
    """Print the findings; exit 1 if one is a failure."""
    os.chdir(Path(__file__).parents[2])
    failed = False
    try:
        for finding in findings():
            print(finding)
            failed |= not finding.is_ok
    except DeployError as error:
        sys.exit(f"FAIL  {error}")
    sys.exit(failed)


def findings() -> Iterator[Finding]:
    """Yield the findings, each after the ones it depends on; raise DeployError if no engine responds."""
    # Not `--format json`: an old client prints that text itself, and the version check below would not run.
    info: dict[str, Any] = json.loads(docker("info", "--format", "{{json .}}"))
    now = datetime.now(UTC)
    if errors := info.get("ServerErrors"):
        raise DeployError(f"no Docker Engine responds: {errors[0]}")
    yield machine.check_version("Docker Engine", info["ServerVersion"], machine.ENGINE)
    yield machine.check_version("Docker Compose", docker("compose", "version", "--short"), machine.COMPOSE)
    try:
        services: dict[str, Any] = json.loads(docker("compose", "config", "--format", "json"))["services"]
    except DeployError as error:
        # Compose checks these settings, and does not always name the bad one.
        names = "HTTP_BIND, HTTP_PORT, HTTPS_PORT, LOCUST_PORT, APP_CPUS, APP_MEMORY, STARTUP_SECONDS, COMPOSE_FILE"
        remedy = f"correct the setting it names: one of {names}. An IPv6 address needs brackets: [::1]"
        if "failed to read" in str(error):  # .env, app.env
            remedy = "correct the file: each line must be NAME=value, and a value with spaces or # needs quotes"
        yield Finding(" ".join(str(error).split()), remedy)
        return
    yield from machine.check_cgroups(info)
    yield machine.check_memory(info, services)
    yield machine.check_disk(*machine.free_disk(Path(info["DockerRootDir"])))
    engine = datetime.fromisoformat(re.sub(r"\.\d+", "", info["SystemTime"]))
    yield machine.check_clock((engine - now).total_seconds(), machine.is_synchronised())
    ours, is_rootless = set(machine.published_ports()), "name=rootless" in (info.get("SecurityOptions") or [])
    ours |= set(swarm.published_ports())  # only with swarm
    for port in services["nginx"].get("ports", []):
        address, number = port.get("host_ip", "0.0.0.0"), port.get("published", "")  # noqa: S104 (Docker's default)
        if number.isdecimal():
            obstacle = machine.port_error(address, int(number), is_rootless=is_rootless)
            yield machine.check_port(PORTS.get(port["target"], "ports"), address, int(number), ours, obstacle)
    yield from clone.check_clone(services)
    yield from clone.check_scale()
    yield from swarm.check_swarm()  # only with swarm
    yield from check_settings(services, info)
    yield from check_application(services)


def check_settings(services: dict[str, Any], info: dict[str, Any]) -> Iterator[Finding]:
    """Check each setting, and then, if all are allowed, the settings that must be consistent with each other."""
    refused = list(refusals(services))
    for sentence in refused:
        yield Finding(sentence, "correct or unset it; .env.example describes it")
    if refused:
        return
    yield Finding("every setting has an allowed value")
    yield from clone.check_proxies(environment(services["nginx"]))
    wrong = list(consistency.contradictions(limits(services, info["NCPU"], info["MemTotal"])))
    for text, remedy in wrong:
        yield Finding(text, remedy)
    if not wrong:
        yield Finding(f"{sum(map(len, consistency.PAIRS.values()))} pairs of timeouts and sizes are consistent")


if __name__ == "__main__":
    main()
