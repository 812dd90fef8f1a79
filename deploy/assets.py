"""The one-shot `assets` service: copies this release's static files into a volume, beside those of earlier releases.

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

from deploy.serve import check

KEPT = 30 * 86400  # seconds after the last deploy that a release's files are kept for; longer than any page stays open


def publish(source: Path, target: Path, now: float) -> int:
    """Copy every file of `source` into `target`, each at once for whoever reads it, and return how many there were.

    A file's time of last access is when it was last part of the newest release; what is older than KEPT is removed.
    """
    for path in listed(target):
        os.utime(path, (now, path.stat().st_mtime))
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.copy2(path, temporary)
        os.utime(temporary, (now, path.stat().st_mtime))
        temporary.replace(copy)
    for path in target.rglob("*"):
        if path.is_file() and path.stat().st_atime < now - KEPT:
            path.unlink()
    return len(files)


def listed(target: Path) -> list[Path]:
    """Return the files of the release whose manifest is in `target`."""
    from app.assets import MANIFEST, PREFIX  # noqa: PLC0415 (it reads the settings, and check() is to refuse a bad one)

    if not (target / MANIFEST).exists():
        return []
    urls = [url for url, _ in json.loads((target / MANIFEST).read_text()).values()]
    paths = [target / (url.removeprefix(PREFIX) + suffix) for url in urls for suffix in ("", ".gz")]
    return [path for path in paths if path.exists()]


if __name__ == "__main__":
    check()
    print(f"assets: {publish(Path(os.environ['STATIC_DIR']), Path(sys.argv[1]), time.time())} files are in place")
