"""The options of a comparison: the only reader of the environment in this folder."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.compare.variants import BACKENDS, Variant, parse

ROOT = Path(__file__).parents[2]


class OptionError(ValueError):
    """An option is not allowed, or wrk is missing; the message names the value and the remedy."""


@dataclass(frozen=True)
class Options:
    """The options of one comparison."""

    variants: dict[str, Variant]  # "A" and "B"
    path: str
    seconds: int  # of each measurement
    rounds: int
    behaviour_seconds: int  # of the run of locust
    limits: dict[str, str]  # of each app, for Compose
    deploy: str  # a shell command that starts another release; empty: docker compose up
    report: Path
    is_for_docs: bool
    environ: dict[str, str]  # for docker and git, without the settings of the user's site


def read(environ: Mapping[str, str]) -> Options:
    """Return the options; raise OptionError or VariantError for one that is not allowed."""
    if not shutil.which("wrk"):
        raise OptionError("wrk is not installed: install your system's package of that name")
    quick = bool(environ.get("QUICK"))
    allowed = settings((ROOT / ".env.example").read_text())
    return Options(
        variants={
            column: parse(column, environ.get(column) or default, allowed)
            for column, default in {"A": BACKENDS[0], "B": BACKENDS[-1]}.items()
        },
        path=environ.get("ROUTE") or "/",
        seconds=number(environ, "SECONDS", 1 if quick else 3),
        rounds=number(environ, "ROUNDS", 1 if quick else 5),
        behaviour_seconds=3 if quick else 20,
        limits={"APP_CPUS": environ.get("APP_CPUS") or "1", "APP_MEMORY": environ.get("APP_MEMORY") or "512m"},
        deploy=environ.get("DEPLOY", ""),
        report=Path(environ.get("REPORT") or ROOT / "loadtest" / "report"),
        is_for_docs=bool(environ.get("DOCS")),
        environ={key: value for key, value in environ.items() if key in {"PATH", "HOME"} or key.startswith("DOCKER_")},
    )


def number(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return the option, a whole number from 1; raise OptionError otherwise."""
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise OptionError(f"{name} is {text!r}: it must be a whole number, 1 or more")
    return int(text)


def settings(example: str) -> set[str]:
    """Return the settings that a variant may have: all in .env.example that the comparison itself does not set."""
    names = set(re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE))
    return {name for name in names if not name.startswith(("LOCUST_", "HTTP_"))} - {"RELEASE"}
