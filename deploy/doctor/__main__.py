"""`make doctor`: whether this machine, and the settings as they are now, can run the site; and if not, what to do.

It looks at what Compose makes of its files, .env and the environment, so at what an overlay or a fork has changed, too.
"""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.docker import Failure, containers, docker, project
from deploy.doctor import consistency
from deploy.doctor.consistency import PAIRS, PORTS

ENGINE, COMPOSE = (25, 0), (2, 24, 4)
DISK = 2 * 1024**3  # bytes, for the images of a few releases
CLOCK = 5  # seconds
EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 (the addresses that stand for all)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do where it is not as it should be."""

    is_well: bool
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"  ok  {self.what}" if self.is_well else f"FAIL  {self.what}\n      -> {self.remedy}"


def main() -> None:
    """Print what is found; exit 1 where something is not as it should be."""
    os.chdir(Path(__file__).parents[2])
    well = True
    try:
        for finding in findings():
            print(finding)
            well = well and finding.is_well
    except Failure as failure:
        sys.exit(f"FAIL  {failure}")
    sys.exit(0 if well else 1)


def findings() -> Iterator[Finding]:
    """Look at everything, in the order in which one thing depends on another; what to make of it is said below."""
    # Not `--format json`: who has too old a client is told so, and old ones print that word.
    info: dict[str, Any] = json.loads(docker("info", "--format", "{{json .}}"))
    now = datetime.now(UTC)
    if errors := info.get("ServerErrors"):
        raise Failure(f"no Docker Engine answers: {errors[0]}")
    yield version("Docker Engine", info["ServerVersion"], ENGINE)
    yield version("Docker Compose", docker("compose", "version", "--short"), COMPOSE)
    try:
        services: dict[str, Any] = json.loads(docker("compose", "config", "--format", "json"))["services"]
    except Failure as failure:
        # These it reads itself, and does not always name.
        names = "HTTP_BIND, HTTP_PORT, HTTPS_PORT, LOCUST_PORT, APP_CPUS, APP_MEMORY, COMPOSE_FILE"
        remedy = f"correct what it names: one of {names}, or a file of those"
        yield Finding(is_well=False, what=" ".join(str(failure).split()), remedy=remedy)
        return
    yield from limits(info)
    yield memory(info, services)
    yield disk(*free_disk(Path(info["DockerRootDir"])))
    engine = datetime.fromisoformat(re.sub(r"\.\d+", "", info["SystemTime"]))
    yield clock((engine - now).total_seconds(), is_synchronised())
    ours, is_rootless = set(published()), "name=rootless" in (info.get("SecurityOptions") or [])
    for port in services["nginx"].get("ports", []):
        address, number = port.get("host_ip", "0.0.0.0"), port.get("published", "")  # noqa: S104 (Docker's own default)
        if number.isdecimal():
            obstacle = obstacle_to(address, int(number), is_rootless=is_rootless)
            yield site_port(PORTS.get(port["target"], "ports"), address, int(number), ours, obstacle)
    yield from settings(services, info)


# --- Looking ----------------------------------------------------------------------------------------------------------


def free_disk(folder: Path) -> tuple[Path, int]:
    """Return the folder and how much of its disk is free; the working folder's where we cannot see the engine's."""
    try:
        return folder, shutil.disk_usage(folder).free
    except OSError:
        return Path(), shutil.disk_usage(Path()).free


def is_synchronised() -> str:
    """Return whether something sets this machine's clock, yes or no; or that it is unknown."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    if not shutil.which(command[0]):
        return "unknown"
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def published() -> Iterator[tuple[str, int]]:
    """Yield the addresses and ports that the running site has."""
    for container in containers(project(), "nginx"):
        if container.state == "running":
            [it] = json.loads(docker("container", "inspect", container.identity))
            ports: dict[str, list[dict[str, str]] | None] = it["NetworkSettings"]["Ports"]
            for bound in ports.values():
                yield from ((each["HostIp"], int(each["HostPort"])) for each in bound or [])


def obstacle_to(address: str, port: int, *, is_rootless: bool) -> str:
    """Return why the engine cannot have the port, or nothing.

    What we may not have, the engine may, which is root unless it is a rootless one: then whether somebody answers there
    has to do.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except PermissionError:
        if is_rootless:
            return os.strerror(errno.EACCES)
        return os.strerror(errno.EADDRINUSE) if answers(address, port) else ""
    except OSError as error:
        return (error.strerror or str(error)).partition(" (")[0]
    return ""


def answers(address: str, port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


# --- Judging ----------------------------------------------------------------------------------------------------------


def version(name: str, text: str, least: tuple[int, ...]) -> Finding:
    """Look at a version, "28.5.2+dfsg4" or "v2.40.3-3"."""
    needed = ".".join(map(str, least))
    found = tuple(int(each) for each in re.findall(r"\d+", text)[:3])
    return Finding(found >= least, f"{name} {text.strip()}, of {needed} or newer", f"upgrade it to {needed} or newer")


def limits(info: dict[str, Any]) -> Iterator[Finding]:
    """Look at what the kernel bounds."""
    for key, what in {"MemoryLimit": "memory", "CpuCfsQuota": "CPUs", "PidsLimit": "processes"}.items():
        is_bounded = info.get(key) is True
        name = f"cgroups, version {info.get('CgroupVersion')}, bound a container's {what}"
        yield Finding(is_bounded, name, "start the kernel with this cgroup controller (cgroup_enable=memory, say)")


def memory(info: dict[str, Any], services: dict[str, Any]) -> Finding:
    """Look at the memory, which must hold two releases of the app while one takes over."""
    app, nginx = (int(services[name].get("mem_limit", 0)) for name in ("app", "nginx"))
    needed, total = 2 * app + nginx, int(info["MemTotal"])
    what = (
        f"{mib(total)} of memory, for two releases of the app at {mib(app)} during a deploy and nginx at {mib(nginx)}"
    )
    return Finding(total >= needed, what, "set APP_MEMORY to less, or add memory")


def mib(size: float) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1024**2:.0f} MiB"


def disk(folder: Path, free: int) -> Finding:
    """Look at the room for images."""
    what = f"{mib(free)} of disk are free in {folder}"
    return Finding(free >= DISK, what, f"make room for {mib(DISK)}: docker image prune")


def clock(apart: float, is_set: str) -> Finding:
    """Look at the clock, by which a browser's caches and certificates go."""
    what = f"the engine's clock is {abs(apart):.0f} s from this one's; set by another: {is_set}"
    return Finding(abs(apart) <= CLOCK and is_set != "no", what, "let systemd-timesyncd or chrony set the clock")


def site_port(setting: str, address: str, port: int, ours: set[tuple[str, int]], obstacle: str) -> Finding:
    """Look at whether the site's port can be had, or is its own already."""
    name = f"port {port} of {address}"
    if any(port == number and (address == at or {address, at} & EVERYWHERE) for at, number in ours):
        return Finding(is_well=True, what=f"{name} is the running site's")
    return Finding(not obstacle, f"{name}: {obstacle or 'it is free'}", f"set HTTP_BIND or {setting} to another")


def settings(services: dict[str, Any], info: dict[str, Any]) -> Iterator[Finding]:
    """Look at each setting, and where all can be, at those that can contradict each other."""
    refused = list(consistency.refusals(services))
    for sentence in refused:
        yield Finding(is_well=False, what=sentence, remedy="correct it, or unset it: .env.example says what it is")
    if refused:
        return
    yield Finding(is_well=True, what="every setting has a value that is allowed")
    wrong = list(consistency.contradictions(consistency.values(services, info["NCPU"], info["MemTotal"])))
    for what, remedy in wrong:
        yield Finding(is_well=False, what=what, remedy=remedy)
    if not wrong:
        yield Finding(is_well=True, what=f"{sum(map(len, PAIRS.values()))} pairs of timeouts and sizes agree")


if __name__ == "__main__":
    main()
