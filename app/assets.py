"""URLs of static files for templates: fingerprinted names in a release, plain names in development."""

import json
from base64 import b64encode
from functools import cache
from hashlib import sha384
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from app.settings import Settings, settings

PREFIX = "/static/"
MANIFEST = ".manifest.json"  # nginx serves no file whose name begins with a dot
ROOT = "root"  # files that nginx serves at /, without a fingerprint
# Packages whose folder static/ belongs to the site, for example "django.contrib.admin" (docs/static-files.md).
PACKAGES: tuple[str, ...] = ()


class Asset(NamedTuple):
    """The URL of a static file and the digest of its content (W3C Subresource Integrity)."""

    url: str
    integrity: str


def static(name: str) -> Asset:
    """Return the asset `name`; raise LookupError if there is no such static file."""
    if known := manifest(settings().static_dir):
        if name not in known:
            raise LookupError(f"there is no static file {name!r} in this release")
        return known[name]
    for folder in sources():
        if (folder / name).is_file():
            return asset(name, folder / name)
    raise LookupError(f"there is no static file {name!r} in {', '.join(map(str, sources()))}")


@cache
def sources() -> list[Path]:
    """Return the folders of static files, app/static first; raise LookupError for an unknown package in PACKAGES."""
    folders = [Settings().static_dir]
    for package in PACKAGES:
        spec = find_spec(package)
        if not (spec and spec.submodule_search_locations):
            raise LookupError(f"PACKAGES in app/assets.py has {package!r}: there is no such package")
        folders += [Path(location, "static") for location in spec.submodule_search_locations]
    return folders


@cache
def manifest(folder: Path) -> dict[str, Asset]:
    """Return the assets that deploy/server/build_static.py listed for this release; empty in development."""
    try:
        text = (folder / MANIFEST).read_text()
    except FileNotFoundError:
        return {}
    return {name: Asset(*entry) for name, entry in json.loads(text).items()}


def asset(name: str, path: Path) -> Asset:
    """Return the asset for the file at `path`, served as `name`."""
    return Asset(PREFIX + quote(name), f"sha384-{b64encode(sha384(path.read_bytes()).digest()).decode()}")
