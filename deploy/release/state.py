"""The deploy's record: .env names the live release for Compose, .releases lists the releases to roll back to.

The last line of .releases is the live release. Both files are replaced atomically: a reader finds either the previous
text or the new one, even after a power cut.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

from deploy.docker import Release

ENV = Path(".env")
RELEASES = Path(".releases")
UNFINISHED = Path(".deploy")  # the lock file; it lists the releases that the running deploy has started to build


def with_settings(text: str, **settings: str) -> str:
    """Return the text of a .env file with each setting in it exactly once and every other line unchanged."""
    for name, value in settings.items():
        line = f"{name}={value}\n"
        assignment = re.compile(rf"^[ \t]*(?:export[ \t]+)?{name}[ \t]*[=:].*(?:\n|\Z)", re.MULTILINE)
        if found := assignment.search(text):
            text = text[: found.start()] + line + assignment.sub("", text[found.end() :])
        else:
            text = f"{text}\n{line}" if text and not text.endswith("\n") else text + line
    return text


def replace(path: Path, text: str) -> None:
    """Replace the text of a file atomically and durably. Keep its permissions and, if allowed, its owner.

    .env may hold secrets. So the new file gets the permissions of the old one before it gets the text.
    """
    path = path.resolve()  # keeps a symlink
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # from a deploy that was killed
    temporary.touch(0o600 if path.exists() else 0o666, exist_ok=False)
    with temporary.open("w") as file:
        if path.exists():
            copy_owner(path.stat(), file.fileno())
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def copy_owner(source: os.stat_result, file: int) -> None:
    """Give an open file the owner, group and permissions of another file. Only root can change the owner."""
    for owner in ((-1, source.st_gid), (source.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(file, *owner)
    os.fchmod(file, S_IMODE(source.st_mode))


def releases() -> list[Release]:
    """Return the releases that can be rolled back to, the live one last."""
    return read(RELEASES)


def write_releases(kept: list[Release]) -> None:
    """Record the releases that can be rolled back to, the live one last."""
    replace(RELEASES, lines(kept))


def write_live(release: Release) -> None:
    """Record the live release."""
    replace(ENV, with_settings(ENV.read_text() if ENV.exists() else "", BACKEND=release.backend, RELEASE=release.name))
    write_releases([*(each for each in releases() if each != release), release])


def unfinished() -> list[Release]:
    """Return the releases that an interrupted deploy had started to build."""
    return read(UNFINISHED)


def write_unfinished(*started: Release) -> None:
    """Record the releases that this deploy builds. Write in place, because the file is also the lock."""
    UNFINISHED.write_text(lines(started))


def read(path: Path) -> list[Release]:
    """Return the releases in a file that lists one tag per line."""
    return [Release.from_tag(line) for line in path.read_text().split()] if path.exists() else []


def lines(releases: Iterable[Release]) -> str:
    """Return the text of a file that lists these releases."""
    return "".join(f"{release.tag}\n" for release in releases)
