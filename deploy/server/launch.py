"""The launcher, the command of every app container: `python -m deploy.server.launch` checks, sizes, and becomes the server.

A setting that only the server read would fail late and without its name: gunicorn answers WEB_CONCURRENCY=abc with a
traceback, and uWSGI runs on with zero workers where a variable of its ini file is unset. So both are told on their
command line. What never changes from one container to the next is in gunicorn.conf.py and uwsgi.ini.
"""

import importlib
import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from app.variables import SettingError, choice, integer
from deploy.server import drain
from deploy.server.live import UNIX, own_address
from deploy.server.sizing import cpu_limit, memory_limit, worker_count

HERE = Path(__file__).parent
SECRETS = Path("/run/secrets/app.env")  # deploy/swarm/stack.yml
BACKENDS = ("gunicorn", "uwsgi")
APPLICATION = "deploy.server.wsgi:application"


def main() -> None:
    """Replace this process by the server, once it is known that it can start."""
    become(check())


def become(arguments: list[str]) -> None:
    """Replace this process by the server with this command line; where it listens on TCP, stay, to end it in time."""
    # gunicorn reads this variable by itself as well, and takes an empty one for a number.
    os.environ.pop("WEB_CONCURRENCY", None)
    print("serve:", *arguments, file=sys.stderr, flush=True)
    if not (address := own_address(os.environ)).startswith(UNIX):
        sys.exit(drain.run(arguments, address))
    os.execvp(arguments[0], arguments)


def check() -> list[str]:
    """Return the server's command line; exit where a setting is not allowed (78) or the app cannot be imported (1).

    It is imported here because a server would say so once for each worker, and gunicorn would try for ever.
    """
    try:
        for name, value in secrets(SECRETS.read_text() if SECRETS.exists() else "").items():
            os.environ.setdefault(name, value)
        arguments = command(os.environ)
        importlib.import_module("app.wsgi").application  # noqa: B018 (it is there, or this is an AttributeError)
    except SettingError as error:
        print(f"serve: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    except BaseException as error:  # noqa: BLE001 (SystemExit too: a module that exits cannot be imported)
        traceback.print_exception(error)
        sys.exit(f"serve: app.wsgi:application cannot be imported: {error!r}")
    return arguments


def secrets(text: str) -> dict[str, str]:
    """Return what the lines NAME=value say; raise SettingError, which tells no value, where one says something else."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            name, is_there, value = line.partition("=")
            if not (is_there and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)):
                raise SettingError(f"{SECRETS}, line {number}: it must be NAME=value")
            found[name] = value
    return found


def command(environ: Mapping[str, str], application: str = APPLICATION) -> list[str]:
    """Return the server's command line for these settings; raise SettingError for one that is not allowed."""
    backend = choice(environ, "BACKEND", "gunicorn", BACKENDS)
    workers = integer(environ, "WEB_CONCURRENCY", worker_count(cpu_limit(), memory_limit()), 1, 1024)
    threads = integer(environ, "WEB_THREADS", 4, 1, 1024)
    listen = own_address(environ)
    if not re.fullmatch(r"unix:.{1,107}|[^:]+:\d+", listen):  # 107: sockaddr_un.sun_path, unix(7)
        raise SettingError(f"LISTEN is {listen!r}: it must be unix:PATH, 107 characters at most, or HOST:PORT")
    if backend == "gunicorn":
        server = ["gunicorn", "--config", f"{HERE}/gunicorn.conf.py", "--bind", listen, "--workers", f"{workers}"]
        # A worker takes no more connections than it has threads: the rest wait for whichever worker is free first.
        return [*server, "--threads", f"{threads}", "--worker-connections", f"{threads}", application]
    server = ["uwsgi", "--ini", f"{HERE}/uwsgi.ini", "--http-socket", listen.removeprefix(UNIX)]
    size = ["--processes", f"{workers}", "--threads", f"{threads}"]
    return [*server, *size, "--virtualenv", sys.prefix, "--module", application]


if __name__ == "__main__":
    main()
