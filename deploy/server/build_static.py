"""Builds a release's static files: fingerprinted, compressed and listed in a manifest.

    python -m deploy.server.build_static TARGET

Django's ManifestStaticFilesStorage adds the fingerprints and rewrites the references in CSS and JavaScript modules.
zopfli compresses: it is slow, but its gzip files are the smallest. A reference to a missing file fails the build.
"""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import FileSystemStorage
from jinja2 import nodes
from zopfli.gzip import compress

from app.assets import MANIFEST, PREFIX, ROOT, Asset, asset
from app.page import TEMPLATES, environment
from app.settings import Settings

SOURCE = Settings().static_dir
COMPRESSED_ALREADY = {".avif", ".gif", ".gz", ".jpeg", ".jpg", ".mp4", ".png", ".webm", ".webp", ".woff2"}
IGNORED = re.compile(r"(^|/)(\.(?!well-known/)|#)|~$|\.(bak|old|orig|rej|save|sw[a-p]|tmp)$", re.IGNORECASE)


class Storage(ManifestStaticFilesStorage):  # type: ignore[misc] # Django has no types
    """Django's storage, which here also rewrites the references in JavaScript modules."""

    support_js_module_import_aggregation = True


def build(source: Path, target: Path) -> dict[str, Asset]:
    """Build the files of `source` into the new folder `target`; raise ValueError for a missing reference."""
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    names = [name for name in names if not IGNORED.search(name)]
    manifest = fingerprint(source, target, [name for name in names if not name.startswith(f"{ROOT}/")])
    for name in names:
        if name.startswith(f"{ROOT}/"):
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(at_root((source / name).read_bytes(), manifest))
    for path in [path for path in target.rglob("*") if path.is_file() and path.suffix not in COMPRESSED_ALREADY]:
        content = path.read_bytes()
        if len(compressed := compress(content)) < len(content):
            path.with_name(path.name + ".gz").write_bytes(compressed)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def fingerprint(source: Path, target: Path, names: list[str]) -> dict[str, Asset]:
    """Write the files to `target` with fingerprints in their names, and return the manifest."""
    files = FileSystemStorage(source)
    storage = Storage(target, PREFIX)
    manifest = {}
    for name, hashed, processed in storage.post_process({name: (files, name) for name in names}):
        if isinstance(processed, Exception):
            raise processed
        manifest[name] = asset(hashed, target / hashed)
    (target / storage.manifest_name).unlink()
    return manifest


def at_root(content: bytes, manifest: dict[str, Asset]) -> bytes:
    """Return a file served at /, with this build's URLs and the date for security.txt (RFC 9116, section 2.5.5)."""
    for name, entry in manifest.items():
        content = content.replace(f'"{PREFIX}{name}"'.encode(), f'"{entry.url}"'.encode())
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    return content.replace(b"$EXPIRES", expires.isoformat().encode())


def names_in_templates() -> set[str]:
    """Return the names of static files in the templates."""
    trees = [environment.parse(path.read_text()) for path in TEMPLATES.rglob("*.html")]
    calls = [call for tree in trees for call in tree.find_all(nodes.Call)]
    return {
        argument.value
        for call in calls
        if isinstance(call.node, nodes.Name) and call.node.name == "static"
        for argument in call.args
        if isinstance(argument, nodes.Const)
    }


def main() -> None:
    """Build the files; exit with one sentence if a file refers to a missing one."""
    settings.configure(STATIC_URL=PREFIX)
    try:
        manifest = build(SOURCE, Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(f"build_static: {error}")
    if missing := names_in_templates() - manifest.keys():
        sys.exit(
            f"build_static: a template names {', '.join(sorted(missing))}: add it to app/static, or correct the name"
        )
    print(f"build_static: {len(manifest)} files in {sys.argv[1]}")


if __name__ == "__main__":
    main()
