"""Reads one environment variable each, and refuses a value that is not allowed in a sentence that says what is."""

from collections.abc import Mapping


class SettingError(ValueError):
    """A setting has a value that is not allowed; its message names the variable, the value and what is allowed."""


def choice(environ: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Return the variable `name`, one of `allowed`, or `default` where it is unset or empty; raise SettingError."""
    value = environ.get(name) or default
    if value not in allowed:
        raise SettingError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")
    return value


def integer(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Return the variable `name`, `least` to `most`, or `default` where it is unset or empty; raise SettingError."""
    value = environ.get(name) or str(default)
    # isdecimal() alone would let other scripts' digits pass, and int() alone "1_000" and " 1".
    if not (value.isascii() and value.isdecimal() and least <= int(value) <= most):
        raise SettingError(f"{name} is {value!r}: it must be a whole number from {least} to {most}")
    return int(value)
