"""Builds a release's static files: fingerprinted, compressed and listed in a manifest.

    python -m deploy.server.build_static TARGET

The fingerprint of a file is a hash of the file and of all files that it refers to, directly or not. So a change renames
every file that must change with it, and files can refer to each other. A reference to a missing file fails the build,
except to a missing source map.
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath
from urllib.parse import quote, unquote

from jinja2 import nodes

from app.assets import MANIFEST, PREFIX, ROOT, Asset, asset, sources
from app.page import TEMPLATES, environment
from deploy.server.references import KEEP, Reference, references

COMPRESSED_ALREADY = {
    ".avif",
    ".gif",
    ".gz",
    ".jpeg",
    ".jpg",
    ".mp4",
    ".png",
    ".webm",
    ".webp",
    ".woff",
    ".woff2",
    ".zip",
}
NOT_COMPRESSED = COMPRESSED_ALREADY | {".map"}  # only developer tools load it
IGNORED = re.compile(r"(^|/)(\.(?!well-known/)|#)|~$|\.(bak|old|orig|rej|save|sw[a-p]|tmp)$", re.IGNORECASE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)  # RFC 3986, 4.2
FINGERPRINT = 12  # characters; nginx/headers.conf expects as many


def build(folders: list[Path], target: Path) -> dict[str, Asset]:
    """Build the files into the new folder `target`; the first folder wins. Raise ValueError for a missing reference."""
    paths = {
        path.relative_to(folder).as_posix(): path
        for folder in reversed(folders)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    paths = {name: path for name, path in paths.items() if not IGNORED.search(name)}
    manifest = fingerprint({name: read(path) for name, path in paths.items() if not is_at_root(name)}, target)
    for name in filter(is_at_root, paths):
        write(target / name, at_root(paths[name].read_bytes(), manifest))
    for path in [path for path in target.rglob("*") if path.is_file() and path.suffix.lower() not in NOT_COMPRESSED]:
        content = path.read_bytes()
        if len(compressed := gzip.compress(content, mtime=0)) < len(content):
            path.with_name(path.name + ".gz").write_bytes(compressed)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def read(path: Path) -> bytes:
    """Return the content of a file; of a compressed image, the image, because nginx sends its compressed twin."""
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if path.suffix.lower() == ".svgz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not compressed by gzip: {error}") from error


def is_at_root(name: str) -> bool:
    """Tell whether the site serves the file at /."""
    return name.startswith(f"{ROOT}/")


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fingerprint(contents: Mapping[str, bytes], target: Path) -> dict[str, Asset]:
    """Write the files to `target` with fingerprints in their names, and return the manifest."""
    links = find_links(contents)
    hashes = {name: sha256(content).digest() for name, content in contents.items()}
    names: dict[str, str] = {}
    for name in contents:
        parts = [part.encode() + b"\0" + hashes[part] for part in sorted(reachable(name, links))]
        path = PurePosixPath(name)
        names[name] = str(
            path.with_name(f"{path.stem}.{sha256(b''.join(parts)).hexdigest()[:FINGERPRINT]}{path.suffix}")
        )
    for name, content in contents.items():
        write(target / names[name], rewritten(content, links[name], names) if links[name] else content)
    return {name: asset(names[name], target / names[name]) for name in contents}


def find_links(contents: Mapping[str, bytes]) -> dict[str, dict[Reference, str]]:
    """Return the references of each file, and the file that each of them names; raise ValueError for missing ones."""
    links: dict[str, dict[Reference, str]] = {name: {} for name in contents}
    missing: list[str] = []
    for name, content in contents.items():
        for reference in references(name, content):
            other = name_of(reference.url, name)
            if other is None:
                continue
            if other in contents:
                links[name][reference] = other
            elif reference.if_missing == "warn":
                warning = f"{name} names the source map {reference.url}, which does not exist"
                print(f"build_static: warning: {warning}", file=sys.stderr)
            elif reference.if_missing == "fail":
                missing.append(f"{name} refers to {reference.url}, but there is no file {other}: add or correct it")
    if missing:
        raise ValueError("\nbuild_static: ".join(missing))
    return links


def name_of(url: str, referrer: str) -> str | None:
    """Return the name of the static file that the URL in the file `referrer` means; None for a URL elsewhere."""
    path = re.split("[?#]", url)[0]
    if not path or path.endswith("/") or ELSEWHERE.match(url):
        return None
    absolute = normpath(join(PREFIX, dirname(referrer), unquote(path)))
    return absolute.removeprefix(PREFIX) if absolute.startswith(PREFIX) else None


def reachable(name: str, links: Mapping[str, Mapping[Reference, str]]) -> set[str]:
    """Return the file and all files that it refers to, directly or not."""
    found, left = {name}, [name]
    while left:
        new = set(links[left.pop()].values()) - found
        found |= new
        left += new
    return found


def rewritten(content: bytes, links: Mapping[Reference, str], names: Mapping[str, str]) -> bytes:
    """Return the content with the fingerprinted names in its references."""
    text = content.decode(errors=KEEP)
    for reference, other in sorted(links.items(), reverse=True):
        path, rest = re.fullmatch(r"([^?#]*)(.*)", reference.url, re.DOTALL).groups()  # type: ignore[union-attr] # it always matches
        # The quoted URL needs no escapes, in CSS or in JavaScript.
        folder = quote(unquote(path[: path.rfind("/") + 1]))
        url = folder + quote(PurePosixPath(names[other]).name) + quote(rest, safe="?#&=%/+:;,@!$*")
        text = text[: reference.start] + url + text[reference.end :]
    return text.encode(errors=KEEP)


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
    try:
        manifest = build(sources(), Path(sys.argv[1]))
    except (LookupError, ValueError) as error:
        sys.exit(f"build_static: {error.args[0]}")
    except OSError as error:  # such as a name that is too long with its fingerprint
        sys.exit(f"build_static: {error.filename}: {error.strerror}")
    if missing := names_in_templates() - manifest.keys():
        sys.exit(
            f"build_static: a template names {', '.join(sorted(missing))}: add it to app/static, or correct the name"
        )
    print(f"build_static: {len(manifest)} files in {sys.argv[1]}")


if __name__ == "__main__":
    main()
