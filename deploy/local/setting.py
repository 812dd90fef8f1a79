"""Read the files of variables as Compose does, and print a setting for make: the environment comes before .env.

python -m deploy.local.setting NAME DEFAULT
"""

import os
import sys
from contextlib import suppress
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from app.variables import SettingError


def variables(name: str) -> dict[str, str]:
    """Return the variables in a file such as .env, or {} without a file; raise SettingError for a malformed line."""
    try:
        text = Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"{name} cannot be read: {reason}: correct the file") from error
    for line in parse_stream(StringIO(text)):
        if line.error:
            text = line.original.string  # can begin with empty lines
            number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
            raise SettingError(f"{name}, line {number}: it must be NAME=value")  # without the line: it can be secret
    return {key: value or "" for key, value in dotenv_values(stream=StringIO(text)).items()}


if __name__ == "__main__":
    name, default = sys.argv[1:]
    found: dict[str, str] = {}
    with suppress(SettingError):  # the command that make runs next reports it
        found = variables(".env")
    print(os.environ.get(name) or found.get(name) or default)
