"""What is compared: each side is a backend, settings, a release, or some of each: `uwsgi,WEB_THREADS=8,ref:HEAD~1`."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

BACKENDS = ("gunicorn", "uwsgi")


class SideError(ValueError):
    """A side that cannot be meant; its message names it and what is allowed."""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    backend: str = "gunicorn"
    ref: str = ""  # a commit; empty for the tree as it stands
    settings: dict[str, str] = field(default_factory=dict)


def parse(variable: str, text: str, allowed: Collection[str]) -> Side:
    """Return the side that the text names; raise SideError for what it cannot name."""
    backend, ref, settings = "gunicorn", "", dict[str, str]()
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if part in BACKENDS:
            backend = part
        elif part.startswith("ref:") and part != "ref:":
            ref = part.removeprefix("ref:")
        elif equals and name in allowed:
            settings[name] = value
        else:
            what = f"{', '.join(BACKENDS)}, ref:COMMIT or NAME=VALUE with one of {', '.join(sorted(allowed))}"
            raise SideError(f"{variable} is {text!r}: {part!r} must be one of {what}")
    return Side(text, settings.pop("BACKEND", backend), ref, settings)


def settings(example: str) -> set[str]:
    """Return the names that a side may set: those of .env.example, less what the comparison sets itself."""
    names = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    return {name for name in names if not name.startswith(("LOCUST_", "HTTP_"))} - {"RELEASE"}
