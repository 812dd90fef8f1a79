"""A variant is a backend, settings, a release, or a combination: `uwsgi,WEB_THREADS=8,ref:HEAD~1`."""

from collections.abc import Collection
from dataclasses import dataclass, field

BACKENDS = (
    "gunicorn",  # only with gunicorn
    "uwsgi",  # only with uwsgi
)


class VariantError(ValueError):
    """A variant is not allowed; the message names the variant and the allowed values."""


@dataclass(frozen=True)
class Variant:
    """One of the two stacks that are compared."""

    name: str
    backend: str = BACKENDS[0]
    ref: str = ""  # a commit; empty for the working tree
    settings: dict[str, str] = field(default_factory=dict)


def parse(option: str, text: str, allowed: Collection[str]) -> Variant:
    """Return the variant that the text describes; raise VariantError for a part that is not allowed."""
    backend, ref, settings = BACKENDS[0], "", dict[str, str]()
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
            raise VariantError(f"{option} is {text!r}: {part!r} must be one of {what}")
    return Variant(text, settings.pop("BACKEND", backend), ref, settings)
