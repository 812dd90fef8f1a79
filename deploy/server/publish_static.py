"""The one-shot `assets` service: copies this release's static files into a volume, beside those of earlier releases.

    python -m deploy.server.publish_static           publish all files of the live release
    python -m deploy.server.publish_static --ahead   publish the fingerprinted files of a candidate

A page of the previous release still finds its files there, during a deploy and for 30 days after it. Nothing is copied
unless the settings are valid and the application can be imported.
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
KEPT = 30 * 86400  # seconds for which a release's files are kept after the next deploy


def publish(source: Path, target: Path, now: float) -> int:
    """Copy the files of `source`, remove files that no release used for KEPT, and return the number of files copied.

    The access time of a file is the time when the newest release last contained it. The files served at / are those of
    this release only.
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
    """Copy the fingerprinted files only: no page names them if the release is refused."""
    return copy(source, target, now, besides=(MANIFEST, ROOT))


def copy(source: Path, target: Path, now: float, besides: tuple[str, ...] = ()) -> int:
    """Copy every file atomically, except those in or named `besides`, and return their number."""
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
