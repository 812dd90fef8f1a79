"""Functions that read and check one environment variable."""

from collections.abc import Mapping


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
