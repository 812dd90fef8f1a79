"""Functions that read and check environment variables, and the files that hold secret ones."""

import re
from collections.abc import Mapping
from pathlib import Path
from stat import S_IMODE
from urllib.parse import urlsplit  # only with monitoring

SECRETS = Path(".secrets")  # of a working tree
STORED = Path("/run/secrets")  # in a container, where SECRETS_FILE names the file


class SettingError(ValueError):
    """A setting with an invalid value; the message names the variable, the value and the allowed values."""


def choice(environ: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Return the variable `name`, or `default` if it is unset or empty; raise SettingError if not in `allowed`."""
    value = environ.get(name) or default
    if value not in allowed:
        raise SettingError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")
    return value


def integer(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Return the variable `name` as an int, or `default` if unset or empty; raise SettingError outside the range."""
    value = environ.get(name) or str(default)
    # isdecimal() alone accepts digits of other scripts; int() alone accepts "1_000" and " 1".
    if not (value.isascii() and value.isdecimal() and least <= int(value) <= most):
        raise SettingError(f"{name} is {value!r}: it must be a whole number from {least} to {most}")
    return int(value)


# begin monitoring
def fraction(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return the variable `name` as a float, or `default` if unset or empty; raise SettingError outside 0 to 1."""
    value = environ.get(name) or str(default)
    if not (re.fullmatch(r"[0-9]*\.?[0-9]+", value) and float(value) <= 1):
        raise SettingError(f"{name} is {value!r}: it must be a number from 0 to 1, such as 0.1")
    return float(value)


def url(environ: Mapping[str, str], name: str, rest: str, example: str) -> str:
    """Return the URL in `name`, or "" if unset or empty; raise SettingError unless `rest` matches what follows "//".

    The error shows no user name and no password.
    """
    value = environ.get(name, "")
    try:
        parts = urlsplit(value)
        is_url = parts.hostname and parts.port != 0 and re.fullmatch(f"https?://{rest}", value)
    except ValueError:  # of the port
        is_url = False
    if value and not is_url:
        shown = re.sub("//.*@", "//***@", value)
        raise SettingError(f"{name} is {shown!r}: it must be a URL such as {example}")
    return value


# end monitoring
def with_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environ`, and those of the secrets that it does not have; raise SettingError.

    Secrets are in files, because `docker inspect` shows the environment of a container.
    """
    name = environ.get("SECRETS_FILE", "")
    if name and not (STORED / name).is_file():
        raise SettingError(f"SECRETS_FILE is {name!r}: {STORED} has no such file: `make deploy` stores .secrets there")
    return {**secrets(STORED / name if name else SECRETS), **environ}


def secrets(path: Path) -> dict[str, str]:
    """Return the variables in a file with lines of NAME=value, or {} without a file; raise SettingError.

    The error never contains a value.
    """
    try:
        if path == SECRETS and (mode := S_IMODE(path.stat().st_mode)) & 0o077:
            raise SettingError(f"{path} has mode {mode:o}: other users can read it: run `chmod 600 {path}`")
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # editors on Windows write a byte order mark
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"{path} cannot be read: {reason}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, is_there, value = line.rstrip("\r").partition("=")
        if is_there and "\0" not in value and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            found[name] = value
        elif line.strip() and not line.startswith("#"):
            raise SettingError(f"{path}, line {number}: it must be NAME=value")
    return found
