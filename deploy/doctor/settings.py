"""Checks each setting with the code that reads it: the launcher, the app, the deploy and nginx's control.sh."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path  # only with monitoring
from tempfile import TemporaryDirectory
from typing import Any

from app import settings
from app.variables import SettingError, integer
from deploy.docker import DeployError
from deploy.doctor.configuration import environment
from deploy.release import names
from deploy.server import launch, release_command

PORTS = {8080: "HTTP_PORT", 8443: "HTTPS_PORT"}  # nginx's ports, and the settings of the published ones


def refusals(services: dict[str, Any]) -> Iterator[str]:
    """Yield one sentence for each setting that is not allowed, but only the first of each reader."""
    app, nginx = services["app"], services["nginx"]
    given = environment(app)
    given["BACKEND"] = app["build"]["target"]
    given["RELEASE"] = app["build"].get("args", {}).get("RELEASE", "")
    given["APP_CPUS"] = str(app.get("cpus", ""))
    readers: list[Callable[[dict[str, str]], object]] = [
        launch.command,
        release_command.limit,
        settings.read,
        check_release,
        check_cpus,
    ]
    readers += [check_packages]  # only with monitoring
    for read in readers:
        try:
            read(given)
        except (SettingError, DeployError) as refusal:
            yield str(refusal)
    yield from refused_ports(nginx.get("ports", []))
    with TemporaryDirectory() as folder:
        yield from refused_by_nginx(environment(nginx), folder)


# begin monitoring
def check_packages(environ: Mapping[str, str]) -> None:
    """Raise SettingError if a setting needs a package that the image will not have."""
    for name, (package, _) in launch.PACKAGES.items():
        locked = Path("requirements", f"{environ['BACKEND']}.txt")
        if environ.get(name) and locked.exists() and f"\n{package}==" not in locked.read_text():
            raise SettingError(launch.missing(name))


# end monitoring
def check_release(environ: Mapping[str, str]) -> None:
    """Raise DeployError if a deploy would refuse the release's name. Compose sets it to dev if RELEASE is not set."""
    if environ["RELEASE"] != "dev":
        names.check(environ["RELEASE"])


def check_cpus(environ: Mapping[str, str]) -> None:
    """Raise SettingError for a number of CPUs that Compose accepts and the engine refuses."""
    if float(value := environ["APP_CPUS"] or "0") < 0:
        raise SettingError(f"APP_CPUS is {value!r}: it must be a number of CPUs, or 0 for all of them")


def refused_ports(ports: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the errors in the site's ports. Compose accepts a range, and the same port twice."""
    published: dict[str, set[tuple[str, str]]] = {}
    for port in ports:
        name, number = PORTS.get(port["target"], "ports"), port.get("published", "")
        try:
            integer({name: number}, name, 1, 1, 65535)
        except SettingError as refusal:
            yield str(refusal)
        published.setdefault(name, set()).add((port.get("host_ip", ""), number))
    if published.get("HTTP_PORT", set()) & published.get("HTTPS_PORT", set()):
        yield "HTTP_PORT and HTTPS_PORT are the same: set them to different ports"


def refused_by_nginx(environ: Mapping[str, str], folder: str) -> Iterator[str]:
    """Yield the error of nginx's control.sh, if it refuses a setting. It writes a configuration into `folder`."""
    ended = subprocess.run(
        ["sh", "nginx/control.sh", "configure", folder],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        yield ended.stderr.strip()
