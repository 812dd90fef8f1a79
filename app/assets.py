"""The static files as pages name them: in a release by fingerprint, in development by their plain names."""

import json
from base64 import b64encode
from functools import cache
from hashlib import sha384
from pathlib import Path
from typing import NamedTuple

from app.settings import settings

PREFIX = "/static/"
MANIFEST = ".manifest.json"  # nginx serves nothing that begins with a dot
ROOT = "root"  # files that nginx serves at /, by their own names


class Asset(NamedTuple):
    """Where a static file is, and what its content must be (Subresource Integrity)."""

    url: str
    integrity: str


def static(name: str) -> Asset:
    """Return the static file `name`; raise LookupError where this release has none of that name."""
    if known := manifest(settings().static_dir):
        if name not in known:
            raise LookupError(f"there is no static file {name!r} in this release")
        return known[name]
    try:
        return asset(name, settings().static_dir / name)
    except OSError as error:
        raise LookupError(f"there is no static file {name!r} in {settings().static_dir}") from error


@cache
def manifest(folder: Path) -> dict[str, Asset]:
    """Return what deploy/server/build_static.py has written of a release's files; nothing in development."""
    try:
        text = (folder / MANIFEST).read_text()
    except FileNotFoundError:
        return {}
    return {name: Asset(*entry) for name, entry in json.loads(text).items()}


def asset(name: str, path: Path) -> Asset:
    """Return the file at `path`, served as `name`."""
    return Asset(PREFIX + name, f"sha384-{b64encode(sha384(path.read_bytes()).digest()).decode()}")
