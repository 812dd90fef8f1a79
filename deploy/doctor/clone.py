"""Checks the files of this clone that containers mount, and how the site runs with this engine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from deploy.docker import containers, find_project
from deploy.doctor.configuration import environment
from deploy.doctor.machine import Finding

SCRIPTS = ("nginx/*.conf", "nginx/*.sh", "deploy/*/*.sh")
CERTIFICATE = Path("deploy/tls/certs/fullchain.pem")
GATEWAY = "docker network inspect --format '{{(index .IPAM.Config 0).Gateway}}' PROJECT_edge"


def check_clone(services: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with this clone, or one finding that says that nothing is."""
    problems = [*unreadable(services), *carriage_returns(), *bad_certificate(environment(services["nginx"]))]
    yield from problems or [Finding("the containers can read the files that they mount")]


def unreadable(services: dict[str, Any]) -> Iterator[Finding]:
    """Yield the first file of each mount that the user of its service cannot read."""
    for service in services.values():
        name = str(service.get("user", "0")).partition(":")[0]
        user = int(name) if name.isdecimal() else 0  # only the image knows the number of a name
        for mount in service.get("volumes", []):
            if mount["type"] == "bind" and user:
                source = Path(mount["source"])
                files = [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]
                if path := next((path for path in files if path.exists() and not can_read(path, user)), None):
                    name = os.path.relpath(path)
                    remedy = (
                        f"chown {user} {name}" if name.endswith(".pem") else f"chmod -R a+rX {os.path.relpath(source)}"
                    )
                    yield Finding(f"{name} is not readable for user {user}, who mounts it", f"run `{remedy}`")


def can_read(path: Path, user: int) -> bool:
    """Return whether the permissions let the user read the file, or enter the folder."""
    status = path.stat()
    needed = 0o5 if path.is_dir() else 0o4
    allowed = status.st_mode >> (6 if status.st_uid == user else 0)
    return allowed & needed == needed


def carriage_returns() -> Iterator[Finding]:
    """Yield the first script or configuration file with the line ends of Windows."""
    files = (path for pattern in SCRIPTS for path in sorted(Path().glob(pattern)))
    if path := next((path for path in files if b"\r\n" in path.read_bytes()), None):
        remedy = "commit your changes, then run `git rm --cached -r --quiet . && git reset --hard`"
        yield Finding(f"{path} has the line ends of Windows, which sh and nginx refuse", remedy)


def bad_certificate(nginx: dict[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the certificate and its key, if TLS is on and there is a certificate."""
    if nginx.get("NGINX_TLS") != "on" or not CERTIFICATE.exists() or not shutil.which("openssl"):
        return
    key = CERTIFICATE.with_name("privkey.pem")
    if key.exists() and not os.access(key, os.R_OK):
        return  # renewed.sh gives it to nginx's user; only root can compare it
    remedy = "renew it, or remove both files: nginx then serves ACME challenges over HTTP"
    commands = {
        f"{CERTIFICATE} is no certificate": ["x509", "-noout", "-pubkey", "-in", str(CERTIFICATE)],
        f"{key} is no key": ["pkey", "-pubout", "-in", str(key)],
        f"{CERTIFICATE} has expired": ["x509", "-noout", "-checkend", "0", "-in", str(CERTIFICATE)],
    }
    printed: list[str] = []
    for problem, command in commands.items():
        ended = subprocess.run(["openssl", *command], capture_output=True, text=True, check=False)
        printed.append(ended.stdout)
        if ended.returncode:
            yield Finding(problem, remedy)
            return
    if printed[0] != printed[1]:
        yield Finding(f"{key} is not the key of {CERTIFICATE}", remedy)


def check_proxies(nginx: dict[str, str]) -> Iterator[Finding]:
    """Yield a failure if TRUSTED_PROXIES names this machine's loopback address only, which nginx never sees."""
    networks = [ip_network(each, strict=False) for each in nginx.get("TRUSTED_PROXIES", "").replace(",", " ").split()]
    if any(each.is_loopback for each in networks) and not any(map(may_be_gateway, networks)):
        text = "TRUSTED_PROXIES has the loopback address, but a proxy on this machine connects from Docker's gateway"
        yield Finding(text, f"add the gateway's address, which `{GATEWAY}` prints")


def may_be_gateway(network: IPv4Network | IPv6Network) -> bool:
    """Return whether Docker's default pools can contain the network's addresses."""
    return network.is_private and not network.is_loopback and not network.is_link_local


def check_scale() -> Iterator[Finding]:
    """Yield a failure if several containers of the app run, because one of them gets all requests."""
    running = [each for each in containers(find_project(), "app") if each.state == "running"]
    if len(running) > 1:
        text = f"{len(running)} containers of the app run, and one of them gets all requests"
        yield Finding(
            text, "run `docker compose up -d --no-recreate --scale app=1`; raise WEB_CONCURRENCY for more workers"
        )
