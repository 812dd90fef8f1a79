"""The site that drills are done to: today's tree, with paths that misbehave and workers that are replaced often."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.serve import BACKENDS
from tests.engines import BASE_IMAGES, Engine
from tests.stack.compose import docker
from tests.stack.site import Site
from tests.stack.waiting import until

MISBEHAVE = Path(__file__).with_name("misbehave.py")
# Four workers, whatever this machine has; replaced after hundreds of requests, for a drill not to wait for thousands.
SETTINGS = {"WEB_CONCURRENCY": "4"}
OFTEN = {
    "deploy/gunicorn.conf.py": r"(max_requests(?:_jitter)? = )\d+",
    "deploy/uwsgi.ini": r"(max-requests(?:-delta)? = )\d+",
}


class EngineSite(Site):
    """A site on an engine of its own, whose daemon can be restarted."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        settings = {"DOCKER_HOST": engine.host, "HTTP_BIND": "0.0.0.0"}
        super().__init__(BACKENDS[0], "-daemon", folder, **settings)
        self.engine = engine
        self.url = self.url.replace("127.0.0.1", engine.address)
        self.urls = [self.url]

    def is_up(self) -> bool:
        """Tell whether the site answers."""
        try:
            return super().is_up()
        except httpx.TransportError:
            return False


@contextmanager
def engine_site(folder: Path) -> Iterator[EngineSite]:
    """Run a site on an engine of its own."""
    network = f"wsgi-test-{os.getpid()}-daemon"
    docker("network", "create", network)
    engine = Engine(f"{network}-engine", network, shared=folder)
    try:
        until(engine.answers, "the engine answers", 60)
        engine.load(*BASE_IMAGES)
        site = EngineSite(engine, folder)
        site.make(RELEASE="first")
        yield site
    finally:
        engine.remove()
        docker("network", "rm", network)


@contextmanager
def drill_site(backend: str, folder: Path) -> Iterator[Site]:
    """Run such a site, with one release that is live, and one before it."""
    site = Site(backend, "-drills", folder, **SETTINGS)
    try:
        site.change("app/wsgi.py", MISBEHAVE.read_text())
        for path, limit in OFTEN.items():
            file = folder / path
            file.write_text(re.sub(limit, r"\g<1>200", file.read_text()))
        site.make(RELEASE="first")
        site.make(RELEASE="second")
        yield site
    finally:
        site.down()
