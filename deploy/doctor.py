"""`make doctor`: whether this machine, and the settings as they are now, can run the site; and if not, what to do.

It looks at what Compose makes of its files, .env and the environment, so at what an overlay or a fork has changed, too.
"""

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

from deploy import agreement
from deploy.compose import Container, Failure, containers, docker, project

ENGINE, COMPOSE = (25, 0), (2, 24, 4)
DISK = 2 * 1024**3  # bytes, for the images of a few releases
CLOCK = 5  # seconds


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
    os.chdir(Path(__file__).parent.parent)
    well = True
    try:
        for finding in findings():
            print(finding)
            well = well and finding.is_well
    except Failure as failure:
        sys.exit(f"FAIL  {failure}")
    sys.exit(0 if well else 1)


def findings() -> Iterator[Finding]:
    """Look at everything, in the order in which one thing depends on another."""
    info: dict[str, Any] = json.loads(docker("info", "--format", "json"))
    if errors := info.get("ServerErrors"):
        raise Failure(f"no Docker Engine answers: {errors[0]}")
    yield version("Docker Engine", info["ServerVersion"], ENGINE)
    yield version("Docker Compose", docker("compose", "version", "--short"), COMPOSE)
    config: dict[str, Any] = json.loads(docker("compose", "config", "--format", "json"))
    services: dict[str, Any] = config["services"]
    yield from limits(info)
    yield memory(info, services)
    yield disk(Path(info["DockerRootDir"]))
    yield clock(datetime.fromisoformat(re.sub(r"\.\d+", "", info["SystemTime"])))
    for port in services["nginx"].get("ports", []):
        yield port_is_free(port.get("host_ip", "0.0.0.0"), int(port["published"]), containers(project(), "nginx"))  # noqa: S104
    yield from pairs(services)


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


def disk(folder: Path) -> Finding:
    """Look at the room for images; in the working folder where the engine is on another machine."""
    folder = folder if folder.exists() else Path()
    free = shutil.disk_usage(folder).free
    return Finding(
        free >= DISK, f"{mib(free)} of disk are free in {folder}", f"make room for {mib(DISK)}: docker image prune"
    )


def clock(engine: datetime) -> Finding:
    """Look at the clock, by which a browser's caches and certificates go."""
    apart = abs((datetime.now(UTC) - engine).total_seconds())
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    told = (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout if shutil.which(command[0]) else ""
    )
    what = f"the engine's clock is {apart:.0f} s from this one's; set by another: {told.strip() or 'unknown'}"
    return Finding(apart <= CLOCK and told.strip() != "no", what, "let systemd-timesyncd or chrony set the clock")


def port_is_free(address: str, port: int, nginx: list[Container]) -> Finding:
    """Look at whether the site's port can be had, or is its own already."""
    name = f"port {port} of {address}"
    if any(each.state == "running" for each in nginx):
        return Finding(is_well=True, what=f"{name} is the running site's")
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        return Finding(is_well=False, what=f"{name}: {error.strerror}", remedy="set HTTP_BIND or HTTP_PORT to another")
    return Finding(is_well=True, what=f"{name} is free")


def pairs(services: dict[str, Any]) -> Iterator[Finding]:
    """Look at the pairs of settings that can contradict each other."""
    values = agreement.values(services)
    wrong = [(less, more) for less, more in agreement.NOT_LARGER if values[less] > values[more]]
    for less, more in wrong:
        what = f"{less} is {values[less]:g}, and {more} is {values[more]:g}"
        yield Finding(is_well=False, what=what, remedy=f"raise {more}, or lower {less}")
    if not wrong:
        yield Finding(is_well=True, what=f"{len(agreement.NOT_LARGER)} pairs of timeouts and sizes agree")


if __name__ == "__main__":
    main()
