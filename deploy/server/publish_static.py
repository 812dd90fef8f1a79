"""The one-shot `assets` service: copies this release's static files into a volume, beside those of earlier releases.

    python -m deploy.server.publish_static           publish every file
    python -m deploy.server.publish_static --ahead   publish only fingerprinted files, before the release is live
    python -m deploy.server.publish_static [--ahead] --stay   do so without a check, and run until stopped (a Swarm)

So a page of an earlier release still finds its files during a deploy, and for 30 days after it. The service first
checks the settings and imports the application, so that a release that cannot start changes nothing.
The application has its variables, secrets and networks then.

The file RELEASES/TAG says that the volume has the files of a release. On a Swarm nginx is ready only if it has the
files of the release that answers its readiness check (wsgi.py).
"""

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

from app.assets import MANIFEST, PREFIX, ROOT
from deploy.server.launch import check, exit_after

VOLUME = Path("/var/lib/assets")
RELEASES = ".releases"  # a hidden folder, which nginx does not serve
PUBLISHED = Path("/tmp/published")  # noqa: S108 (the container's own tmpfs; its health check reads it)
KEPT_SECONDS = 30 * 86400  # after a later release was published; longer than a page stays open


def publish(source: Path, target: Path, now: float) -> int:
    """Copy the files of `source` to `target`, remove the outdated ones there, and return the number of copies.

    A file's access time records when it was last part of the newest release. The file is removed KEPT_SECONDS later, or
    at once if it was served at / and this release has no such file.
    """
    for path in listed(target):
        os.utime(path, (now, path.stat().st_mtime))
    count = copy(source, target, now)
    for path in target.rglob("*"):
        name = path.relative_to(target)
        is_outdated = name.parts[0] == ROOT and not (source / name).exists()
        with suppress(FileNotFoundError):  # on a Swarm, two releases publish at the same time
            if path.is_file() and (is_outdated or path.stat().st_atime < now - KEPT_SECONDS):
                path.unlink()
    return count


def publish_ahead(source: Path, target: Path, now: float) -> int:
    """Copy only the fingerprinted files, which no page names until the release is live; return their number."""
    return copy(source, target, now, without=(MANIFEST, ROOT))


def copy(source: Path, target: Path, now: float, without: tuple[str, ...] = ()) -> int:
    """Copy each file atomically and return their number. `without` are names at the top level to leave out."""
    files = [path for path in source.rglob("*") if path.is_file() and path.relative_to(source).parts[0] not in without]
    for path in files:
        twin = target / path.relative_to(source)
        twin.parent.mkdir(parents=True, exist_ok=True)
        temporary = twin.with_name(f".{twin.name}.{uuid4().hex}")
        shutil.copy2(path, temporary)
        os.utime(temporary, (now, path.stat().st_mtime))
        temporary.replace(twin)
    return len(files)


def mark(target: Path, tag: str, now: float) -> None:
    """Note that the folder has the files of the release. The note is never newer than the files."""
    note = target / RELEASES / tag
    note.parent.mkdir(exist_ok=True)
    note.touch()
    os.utime(note, (now, now))


def listed(target: Path) -> list[Path]:
    """Return the files in the manifest of `target`."""
    if not (target / MANIFEST).exists():
        return []
    urls = [url for url, _ in json.loads((target / MANIFEST).read_text()).values()]
    paths = [target / (unquote(url.removeprefix(PREFIX)) + suffix) for url in urls for suffix in ("", ".gz")]
    return [path for path in paths if path.exists()]


def main() -> None:
    """Check that the release can start, and publish its files."""
    options = sys.argv[1:]
    if [each for each in ("--ahead", "--stay") if each in options] != options:
        sys.exit("usage: python -m deploy.server.publish_static [--ahead] [--stay]")
    if "--stay" not in options:
        check()
    run, now = publish_ahead if "--ahead" in options else publish, time.time()
    print(f"assets: published {run(Path(os.environ['STATIC_DIR']), VOLUME, now)} files", flush=True)
    mark(VOLUME, f"{os.environ['RELEASE']}-{os.environ['BACKEND']}", now)
    if "--stay" in options:
        PUBLISHED.touch()
        os.execvp("sleep", ["sleep", "infinity"])  # needs less memory than Python


if __name__ == "__main__":
    exit_after(main)
