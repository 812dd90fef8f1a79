"""Checks this machine: versions, cgroups, memory, disk, clock and ports."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.docker import containers, docker, find_project

ENGINE, COMPOSE = (25, 0), (2, 24, 4)
DISK = 2 * 1024**3  # bytes, for the images of a few releases
CLOCK_SECONDS = 5  # allowed between the clocks of this machine and of the engine
ALL_ADDRESSES = {"", "0.0.0.0", "::"}  # noqa: S104


@dataclass(frozen=True)
class Finding:
    """The result of one check. A failure has a remedy."""

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"  ok  {self.text}" if self.is_ok else f"FAIL  {self.text}\n      -> {self.remedy}"

    @property
    def is_ok(self) -> bool:
        """Return whether the check passed."""
        return not self.remedy


def check(text: str, *, is_ok: bool, remedy: str) -> Finding:
    """Return a finding, with the remedy only if the check failed."""
    return Finding(text, "" if is_ok else remedy)


def check_version(name: str, text: str, least: tuple[int, ...]) -> Finding:
    """Check a version such as "28.5.2+dfsg4" or "v2.40.3-3"."""
    needed = ".".join(map(str, least))
    found = tuple(int(each) for each in re.findall(r"\d+", text)[:3])
    text = f"{name} {text.strip()}; {needed} or newer is needed"
    return check(text, is_ok=found >= least, remedy=f"upgrade it to {needed} or newer")


def check_cgroups(info: dict[str, Any]) -> Iterator[Finding]:
    """Check which limits the kernel enforces."""
    for key, resource in {"MemoryLimit": "memory", "CpuCfsQuota": "CPUs", "PidsLimit": "processes"}.items():
        text = f"cgroups v{info.get('CgroupVersion')} limit a container's {resource}"
        remedy = "start the kernel with this cgroup controller, for example with cgroup_enable=memory"
        yield check(text, is_ok=info.get(key) is True, remedy=remedy)


def check_memory(info: dict[str, Any], services: dict[str, Any]) -> Finding:
    """Check the machine's memory: during a deploy two releases of the app run beside nginx."""
    needs = {name: int(services[name].get("mem_limit", 0)) for name in ("app", "nginx", "postgres") if name in services}
    needed, total = needs["app"] + sum(needs.values()), int(info["MemTotal"])
    app = needs.pop("app")
    others = ", and ".join(f"{name} at {mib(memory)}" for name, memory in needs.items())
    text = f"{mib(total)} of memory; a deploy needs two releases of the app at {mib(app)}, and {others}"
    return check(text, is_ok=total >= needed, remedy="lower APP_MEMORY, or add memory")


def check_disk(folder: Path, free: int) -> Finding:
    """Check the free disk space for images."""
    text = f"{mib(free)} of disk are free in {folder}"
    return check(text, is_ok=free >= DISK, remedy=f"free {mib(DISK)}, for example with `docker image prune`")


def check_clock(difference: float, is_set: str) -> Finding:
    """Check the clock, on which caches and certificates depend. `is_set` is yes, no or unknown."""
    text = f"the engine's clock and this machine's differ by {abs(difference):.0f} s; synchronised: {is_set}"
    is_ok = abs(difference) <= CLOCK_SECONDS and is_set != "no"
    return check(text, is_ok=is_ok, remedy="let systemd-timesyncd or chrony set the clock")


def check_port(setting: str, address: str, port: int, ours: set[tuple[str, int]], error: str) -> Finding:
    """Check that the port is free, or belongs to the running site, whose addresses and ports are `ours`."""
    name = f"port {port} on {address}"
    if any(port == number and (address == at or {address, at} & ALL_ADDRESSES) for at, number in ours):
        return Finding(f"{name} belongs to the running site")
    text = f"{name} is not available: {error}" if error else f"{name} is free"
    return check(text, is_ok=not error, remedy=f"set HTTP_BIND or {setting} to another value")


def free_disk(folder: Path) -> tuple[Path, int]:
    """Return the folder and its free bytes; the working folder instead, if this machine is not the engine's."""
    try:
        return folder, shutil.disk_usage(folder).free
    except OSError:
        return Path(), shutil.disk_usage(Path()).free


def is_synchronised() -> str:
    """Return whether a time service sets this machine's clock: yes, no or unknown."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    if not shutil.which(command[0]):
        return "unknown"
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def published_ports() -> Iterator[tuple[str, int]]:
    """Yield the addresses and ports that the running site publishes."""
    for container in containers(find_project(), "nginx"):
        if container.state == "running":
            [found] = json.loads(docker("container", "inspect", container.id))
            ports: dict[str, list[dict[str, str]] | None] = found["NetworkSettings"]["Ports"]
            for bound in ports.values():
                yield from ((each["HostIp"], int(each["HostPort"])) for each in bound or [])


def port_error(address: str, port: int, *, is_rootless: bool) -> str:
    """Return why the engine cannot listen on the port, or "".

    An engine that is not rootless may listen where this process may not. Then a connection shows whether it is free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except PermissionError:
        if is_rootless:
            return os.strerror(errno.EACCES)
        return os.strerror(errno.EADDRINUSE) if is_listening(address, port) else ""
    except OSError as error:
        return (error.strerror or str(error)).partition(" (")[0]
    return ""


def is_listening(address: str, port: int) -> bool:
    """Return whether a process accepts connections on the port."""
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


def mib(size: float) -> str:
    """Return a number of bytes as MiB."""
    return f"{size / 1024**2:.0f} MiB"
