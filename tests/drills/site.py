"""The site that drills are done to: today's tree, with paths that misbehave and workers that are replaced often."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack.site import Site

MISBEHAVE = Path(__file__).with_name("misbehave.py")
# Four workers, whatever this machine has; replaced after hundreds of requests, for a drill not to wait for thousands.
SETTINGS = {"WEB_CONCURRENCY": "4"}
OFTEN = {
    "deploy/gunicorn.conf.py": r"(max_requests(?:_jitter)? = )\d+",
    "deploy/uwsgi.ini": r"(max-requests(?:-delta)? = )\d+",
}


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
