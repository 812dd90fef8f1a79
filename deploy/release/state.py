"""What is live, in .env, where Compose looks for it; and what can be live again, in .releases, whose last line is live.

Both files are replaced at once: whoever reads them, even after a power cut, finds the old one or the new one.
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
UNFINISHED = Path(".deploy")  # the lock, and what its holder has begun


def with_settings(text: str, **settings: str) -> str:
    """Return the text of a .env with these settings in it, each once, and everything else as it was."""
    for name, value in settings.items():
        line, own = (
            f"{name}={value}\n",
            re.compile(rf"^[ \t]*(?:export[ \t]+)?{name}[ \t]*[=:].*(?:\n|\Z)", re.MULTILINE),
        )
        if found := own.search(text):
            text = text[: found.start()] + line + own.sub("", text[found.end() :])
        else:
            text = f"{text}\n{line}" if text and not text.endswith("\n") else text + line
    return text


def replace(path: Path, text: str) -> None:
    """Give the file this text, at once and for good, with the owner, as far as we may, and the permissions that it had.

    Nobody else can read the new one before it has them: .env holds what the app knows and nobody else may.
    """
    path = path.resolve()  # a link stays one
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # what a run has left that was killed
    temporary.touch(0o600 if path.exists() else 0o666, exist_ok=False)
    with temporary.open("w") as file:
        if path.exists():
            keep_owner(path.stat(), file.fileno())
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def keep_owner(before: os.stat_result, file: int) -> None:
    """Give an open file the owner, the group and the permissions of another; only root may choose the owner."""
    for owner in ((-1, before.st_gid), (before.st_uid, -1)):
        with suppress(PermissionError):
            os.fchown(file, *owner)
    os.fchmod(file, S_IMODE(before.st_mode))


def releases() -> list[Release]:
    """Return the releases that can be returned to, the one that is live last."""
    return read(RELEASES)


def write_releases(kept: list[Release]) -> None:
    """Write down that these releases, and no others, can be returned to."""
    replace(RELEASES, lines(kept))


def write_live(release: Release) -> None:
    """Write down that this release is live now."""
    replace(ENV, with_settings(ENV.read_text() if ENV.exists() else "", BACKEND=release.backend, RELEASE=release.name))
    write_releases([*(each for each in releases() if each != release), release])


def unfinished() -> list[Release]:
    """Return the releases that a deploy has begun and not ended, whatever ended it."""
    return read(UNFINISHED)


def write_unfinished(*begun: Release) -> None:
    """Write down which releases the deploy that holds the lock has begun; in place, for the file is the lock."""
    UNFINISHED.write_text(lines(begun))


def read(path: Path) -> list[Release]:
    """Return the releases that the file lists, a tag a line."""
    return [Release.of_tag(line) for line in path.read_text().split()] if path.exists() else []


def lines(releases: Iterable[Release]) -> str:
    """Return what `read` reads."""
    return "".join(f"{release.tag}\n" for release in releases)
