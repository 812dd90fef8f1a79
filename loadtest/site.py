"""The site under test: where it is, and which release, backend and size it reports."""

import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

import gevent
from dotenv import dotenv_values

ENV_FILE = Path(__file__).parents[1] / ".env"
WAIT = 5  # seconds for the site to answer
TIMEOUT = 5  # seconds for one response
SAMPLES = 8  # reads of /version at the start and at the end: behind a load balancer each may be another instance's
UNKNOWN = "unknown"
HTTP, HTTPS = 8080, 8443  # nginx's ports in its container

# As locust's own client: no certificate is verified, and no proxy from the environment is used.
CONTEXT = ssl._create_unverified_context()  # noqa: S323, SLF001
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=CONTEXT))


class SiteError(RuntimeError):
    """No site answers; the message names the address and the remedy."""


@dataclass(frozen=True)
class Version:
    """What /version reports; unknown for a site that is not made from this template."""

    backend: str = UNKNOWN
    release: str = UNKNOWN
    workers: int | str = UNKNOWN
    threads: int | str = UNKNOWN

    def __str__(self) -> str:
        return f"backend {self.backend}, release {self.release}, {self.workers} workers of {self.threads} threads"


class Watch:
    """Reads /version at the start of a run, once a second, and at the end: from its creation to `stop`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.versions: list[Version] = []  # in the order in which they were first seen
        self.first: set[str] = set()  # instances
        self.last: set[str] = set()
        self.task = gevent.spawn(self.poll)

    def stop(self) -> None:
        """Read the version for the last time."""
        self.task.kill()
        self.last = self.read(SAMPLES)

    def poll(self) -> None:
        """Read the version several times, then once a second."""
        self.first = self.read(SAMPLES)
        while True:
            gevent.sleep(1)
            self.read(1)

    def read(self, times: int) -> set[str]:
        """Read the version several times; return the instances that answered."""
        instances = set()
        for _ in range(times):
            found = read_version(self.address)
            if found is None:
                break
            version, instance = found
            instances.add(instance)
            if version not in self.versions:
                self.versions.append(version)
        return instances

    @property
    def version(self) -> Version:
        """Return the version at the start of the run."""
        return self.versions[0] if self.versions else Version()

    @property
    def change(self) -> str:
        """Describe what changed at the site during the run; empty if nothing did."""
        if len(self.versions) > 1:
            return f"the site changed during the run: {'; then '.join(map(str, self.versions))}"
        if self.first and self.last and self.first.isdisjoint(self.last):
            before, after = (", ".join(sorted(each)) for each in (self.first, self.last))
            return f"the site's app was replaced during the run: instance {before}, then {after}"
        return ""


def find(address: str | None) -> str:
    """Return the address, or where the running site is, once it answers HTTP; raise SiteError after WAIT seconds."""
    if address and not address.startswith(("http://", "https://")):
        raise SiteError(f"LOCUST_HOST (make: HOST) is {address!r}: it must begin with http:// or https://")
    candidates = [address.rstrip("/")] if address else addresses()
    deadline = time.monotonic() + WAIT
    while True:
        for each in candidates:
            try:
                get(f"{each}/")
            except OSError as error:
                reason = error
            except (ValueError, http.client.HTTPException) as error:  # it answers, but not with HTTP
                raise no_site(each, error) from error
            else:
                return each
        if time.monotonic() > deadline:
            raise no_site(candidates[-1], reason)
        time.sleep(0.2)


def no_site(address: str, reason: Exception) -> SiteError:
    """Return the error for an address at which no site answers."""
    remedy = "start the site (`docker compose up`, or `make local`), or set LOCUST_HOST to the address of another"
    return SiteError(f"nothing answers at {address} ({reason}): {remedy}")


def addresses() -> list[str]:
    """Return where the site can be: LOCUST_SITE in a container, the ports of the running nginx, or HTTP_PORT."""
    if inside := os.environ.get("LOCUST_SITE"):
        return inside.split()
    port = os.environ.get("HTTP_PORT")
    published = published_ports()
    if published and (not port or published.get(HTTP, "").endswith(f":{port}")):
        return [f"https://{published[HTTPS]}" if HTTPS in published else f"http://{published[HTTP]}"]
    return [f"http://127.0.0.1:{port or dotenv_values(ENV_FILE).get('HTTP_PORT') or 8080}"]


def published_ports() -> dict[int, str]:
    """Return HOST:PORT for each port that this project's running nginx publishes; none without Docker."""
    command = ["docker", "compose", "ps", "--format", "json", "nginx"]
    try:
        ended = subprocess.run(
            command, cwd=ENV_FILE.parent, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[int, str] = {}
    for line in ended.stdout.splitlines():  # one container a line; nothing after an error
        for each in json.loads(line)["Publishers"]:
            if each["PublishedPort"]:
                host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(each["URL"], each["URL"])  # noqa: S104
                found.setdefault(each["TargetPort"], f"{host}:{each['PublishedPort']}")
    return found


def get(url: str) -> tuple[int, bytes]:
    """Return the status and the body; raise OSError, ValueError or HTTPException without an HTTP response."""
    try:
        with OPENER.open(url, timeout=TIMEOUT) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


def read_version(address: str) -> tuple[Version, str] | None:
    """Return what the site reports, and its instance; None if it cannot answer at the moment."""
    try:
        status, body = get(f"{address}/version")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return None
    try:
        reported: Any = json.loads(body)
    except ValueError:
        reported = None
    if not isinstance(reported, dict) or not {"backend", "release"} <= reported.keys():
        return Version(), UNKNOWN
    known = {each.name: reported[each.name] for each in fields(Version) if each.name in reported}
    return Version(**known), reported.get("instance", UNKNOWN)
