"""The site that drills are done to: today's tree, with paths that misbehave and workers that are replaced often."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from deploy.server.launch import BACKENDS
from tests.engines import BASE_IMAGES, Engine
from tests.stack.compose import docker
from tests.stack.site import Site
from tests.stack.waiting import until

MISBEHAVE = Path(__file__).with_name("misbehave.py")
# Four workers, whatever this machine has; replaced after hundreds of requests, for a drill not to wait for thousands.
WORKERS = 4
THREADS = 4  # of each
REQUESTS = 200
OFTEN = {
    "deploy/server/gunicorn.conf.py": r"(max_requests(?:_jitter)? = )\d+",  # only with gunicorn
    "deploy/server/uwsgi.ini": r"(max-requests(?:-delta)? = )\d+",  # only with uwsgi
}
TERMS = (
    f"{WORKERS} workers of {THREADS} threads; {os.cpu_count()} CPUs for everything, the load as well. A worker is "
    f"replaced after {REQUESTS} requests, not 50,000, and a new release is watched for 5 seconds, not 10."
)
# The services, and their folders in which files come and go.
FOLDERS = {"app": "/tmp /dev/shm", "nginx": "/run/nginx /run/nginx/buffers /tmp"}
# In place of a disk: a volume in memory, which a drill can fill.
SMALL_DISK = (
    '  buffers: { driver: local, driver_opts: { type: tmpfs, device: tmpfs, o: "uid=101,gid=101,size=128m" } }\n'
)


class DrillSite(Site):
    """A site that can be drilled, and counts what that has left behind."""

    drilled = ("app/wsgi.py", "docker-compose.yml", *OFTEN)  # files of its tree that differ from the project's

    def __init__(self, backend: str, name: str, folder: Path, **settings: str) -> None:
        super().__init__(backend, name, folder, **settings)
        # A deploy refuses settings of the app that are not in .env.
        self.write(".env", f"{self.env()}WEB_CONCURRENCY={WORKERS}\nWEB_THREADS={THREADS}\n")
        self.change("app/wsgi.py", MISBEHAVE.read_text())
        self.before.clear()  # it stays
        for path, limit in OFTEN.items():
            file = folder / path
            file.write_text(re.sub(limit, rf"\g<1>{REQUESTS}", file.read_text()))

        compose = folder / "docker-compose.yml"
        compose.write_text(compose.read_text().replace("  buffers:\n", SMALL_DISK))

    def restyle(self) -> None:
        """Change the stylesheet, and with it the name that the next release gives it."""
        self.change("app/static/style.css", f"\n/* {time.monotonic_ns()} */\n")

    def direct(self) -> tuple[str, int]:
        """Return nginx's address, without what Docker puts between, which takes any answer whoever reads it."""
        network = next(iter(self.inspect("nginx")["NetworkSettings"]["Networks"].values()))
        return network["IPAddress"], 8080

    def remains(self) -> dict[str, int]:
        """Return how many there are of what a drill could leave behind; of images, those that are no release's."""
        left = self.resources()
        left["images"] -= set(self.releases())
        counts = {what: len(found) for what, found in left.items()}
        for service, folders in FOLDERS.items():
            # A process that is left is the first one's child; a health check, which comes and goes, is nobody's.
            count = f"wc -w </proc/1/task/1/children; find {folders} -xdev -type f | wc -l"
            processes, files = self.execute(service, "sh", "-c", count).stdout.split()
            counts |= {f"processes of {service}": int(processes), f"files of {service}": int(files)}
        return counts


class EngineSite(DrillSite):
    """A site on an engine of its own, whose daemon can be restarted."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        settings = {"DOCKER_HOST": engine.host, "HTTP_BIND": "0.0.0.0"}
        super().__init__(BACKENDS[0], "-daemon", folder, **settings)
        self.engine = engine
        self.url = self.url.replace("127.0.0.1", engine.address)
        self.urls = [self.url]

    def resources(self) -> dict[str, set[str]]:
        """Return the app's containers, images and sockets on the site's engine."""
        with patch.dict(os.environ, DOCKER_HOST=self.engine.host):
            return super().resources()

    def releases(self) -> list[str]:
        """Return the tags of the releases that can be rolled back to."""
        with patch.dict(os.environ, DOCKER_HOST=self.engine.host):
            return super().releases()


@contextmanager
def engine_site(folder: Path) -> Iterator[EngineSite]:
    """Run a site on an engine of its own."""
    network = f"wsgi-test-{os.getpid()}-daemon"
    docker("network", "create", network)
    engine = Engine(f"{network}-engine", network, shared=folder)
    try:
        until(engine.is_up, "the engine is up", 60)
        engine.load(*BASE_IMAGES)
        site = EngineSite(engine, folder)
        site.make(RELEASE="first")
        yield site
    finally:
        engine.remove()
        docker("network", "rm", network)


@contextmanager
def drill_site(backend: str, folder: Path) -> Iterator[DrillSite]:
    """Run such a site."""
    site = DrillSite(backend, "-drills", folder)
    try:
        site.make(RELEASE="first")
        yield site
    finally:
        site.down()
