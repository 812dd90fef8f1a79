"""The one-shot `assets` service: copies this release's static files into a volume, beside those of earlier releases.

    python -m deploy.server.publish_static           they are the site's from now on
    python -m deploy.server.publish_static --ahead   of a release that is not live yet: only what no page can name before it is

A page of the release before still finds its files there, during a deploy and for 30 days after it. Nothing is copied,
and nothing that waits for this starts, unless the release can: its settings are allowed and its application can be
imported.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from app.assets import MANIFEST, PREFIX, ROOT
from deploy.server.launch import check

VOLUME = Path("/var/lib/assets")
KEPT = 30 * 86400  # seconds after the last deploy that a release's files are kept for; longer than any page stays open


def publish(source: Path, target: Path, now: float) -> int:
    """Make the files of `source` the site's, beside those of earlier releases, and return how many there are.

    A file's time of last access is when it was last part of the newest release; what is older than KEPT is removed. Of
    the files that are served at / only those of this release are left.
    """
    for path in listed(target):
        os.utime(path, (now, path.stat().st_mtime))
    count = copy(source, target, now)
    for path in target.rglob("*"):
        name = path.relative_to(target)
        is_another_releases = name.parts[0] == ROOT and not (source / name).exists()
        if path.is_file() and (is_another_releases or path.stat().st_atime < now - KEPT):
            path.unlink()
    return count


def publish_ahead(source: Path, target: Path, now: float) -> int:
    """Copy what has a fingerprint: should the release be refused, nobody will have seen any of it."""
    return copy(source, target, now, besides=(MANIFEST, ROOT))


def copy(source: Path, target: Path, now: float, besides: tuple[str, ...] = ()) -> int:
    """Copy every file, each at once for whoever reads it, and return how many; not what is in or named `besides`."""
    files = [path for path in source.rglob("*") if path.is_file() and path.relative_to(source).parts[0] not in besides]
    for path in files:
        twin = target / path.relative_to(source)
        twin.parent.mkdir(parents=True, exist_ok=True)
        temporary = twin.with_name(f".{twin.name}.{os.getpid()}")
        shutil.copy2(path, temporary)
        os.utime(temporary, (now, path.stat().st_mtime))
        temporary.replace(twin)
    return len(files)


def listed(target: Path) -> list[Path]:
    """Return the files of the release whose manifest is in `target`."""
    if not (target / MANIFEST).exists():
        return []
    urls = [url for url, _ in json.loads((target / MANIFEST).read_text()).values()]
    paths = [target / (url.removeprefix(PREFIX) + suffix) for url in urls for suffix in ("", ".gz")]
    return [path for path in paths if path.exists()]


if __name__ == "__main__":
    check()
    if sys.argv[1:] not in ([], ["--ahead"]):
        sys.exit("usage: python -m deploy.server.publish_static [--ahead]")
    place = publish_ahead if sys.argv[1:] else publish
    print(f"assets: {place(Path(os.environ['STATIC_DIR']), VOLUME, time.time())} files are in place")
