"""Checks the files of this clone that containers mount, and how the site runs with this engine."""

import os
import shutil
import ssl
import subprocess
import time
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
        name, _, its_group = str(service.get("user", "0")).partition(":")
        user = int(name) if name.isdecimal() else 0  # only the image knows the number of a name
        group = int(its_group) if its_group.isdecimal() else 0
        for mount in service.get("volumes", []):
            if mount["type"] == "bind" and user:
                source = Path(mount["source"])
                files = [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]
                if path := next((path for path in files if path.exists() and not can_read(path, user, group)), None):
                    name = os.path.relpath(path)
                    remedy = (
                        f"chown {user} {name}" if name.endswith(".pem") else f"chmod -R a+rX {os.path.relpath(source)}"
                    )
                    yield Finding(f"{name} is not readable for user {user}, who mounts it", f"run `{remedy}`")


def can_read(path: Path, user: int, group: int) -> bool:
    """Return whether the permissions let the user or its group read the file, or enter the folder."""
    status = path.stat()
    needed = 0o5 if path.is_dir() else 0o4
    allowed = status.st_mode >> (6 if status.st_uid == user else 3 if status.st_gid == group else 0)
    return allowed & needed == needed


def carriage_returns() -> Iterator[Finding]:
    """Yield the first script or configuration file with the line ends of Windows."""
    files = (path for pattern in SCRIPTS for path in sorted(Path().glob(pattern)))
    if path := next((path for path in files if b"\r\n" in path.read_bytes()), None):
        remedy = "commit your changes, then run `git rm --cached -r --quiet . && git reset --hard`"
        yield Finding(f"{path} has the line ends of Windows, which sh and nginx refuse", remedy)


def bad_certificate(nginx: dict[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the certificate and its key, if TLS is on and there is a certificate."""
    key = CERTIFICATE.with_name("privkey.pem")
    if nginx.get("NGINX_TLS") != "on" or not os.path.lexists(CERTIFICATE):
        return
    for path in (CERTIFICATE, key):
        if path.is_symlink() and path.resolve().parent != path.parent.resolve():
            text = f"{path} is a symlink to {path.readlink()}, which nginx's container does not contain"
            yield Finding(text, "copy the file, as deploy/tls/renewed.sh does")
            return
    if key.exists() and not os.access(key, os.R_OK):
        return  # renewed.sh gives it to nginx's user; only root can check it
    remedy = (
        "correct or renew them, with the site's own certificate first in fullchain.pem; or remove both: nginx then "
        "serves ACME challenges over HTTP"
    )
    try:  # nginx's own checks, because both use OpenSSL
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(CERTIFICATE, key, password=str)
    except OSError as error:  # also SSLError
        reason = str(getattr(error, "reason", error.strerror) or "").replace("_", " ").lower()
        reason = reason or "one of them is not PEM, or has a pass phrase"
        yield Finding(f"nginx cannot use {CERTIFICATE} and {key}: {reason}", remedy)
        return
    if shutil.which("openssl"):
        command = ["openssl", "x509", "-noout", "-dates", "-in", str(CERTIFICATE)]
        dates = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        begin, end = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in dates.splitlines())
        if not begin <= time.time() < end:
            state = "has expired" if end <= time.time() else "is not valid yet"
            yield Finding(f"{CERTIFICATE} {state}: {dates.strip().replace(chr(10), ', ')}", remedy)


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
