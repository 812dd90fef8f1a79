"""`make logs`, `make trace ID=...`: read the logs of the containers.

    python -m deploy.monitoring logs         follow the logs, as text
    python -m deploy.monitoring trace ID     print everything about one request, in order
    python -m deploy.monitoring show         print the lines of the standard input, as text

A request has the same id in nginx's access log, in the app's log and in the X-Request-ID header of its response.
"""

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from deploy.docker import DeployError, docker
from deploy.monitoring.kept import FOLDER
from deploy.monitoring.lines import parsed, readable

OVERLAY = {"prometheus", "alertmanager", "nginx-exporter", "blackbox-exporter"}  # monitoring.yml: they say much
TAIL = 100  # lines of each container that are printed at first


def main() -> None:
    """Run the command given on the command line; exit with one sentence if it fails."""
    os.chdir(Path(__file__).parents[2])
    try:
        match sys.argv[1:]:
            case ["logs"]:
                follow()
            case ["trace", identifier]:
                trace(identifier)
            case ["show"]:
                sys.stdin.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # it is a text file
                for line in sys.stdin:
                    show(line)
            case _:
                sys.exit("usage: python -m deploy.monitoring logs|trace ID|show")
    except DeployError as error:
        sys.exit(f"logs: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def follow() -> None:
    """Print the logs of all containers but those of OVERLAY, those that start later too, until Ctrl-C."""
    services = sorted({*docker("compose", "config", "--services").split()} - OVERLAY)
    command = ["docker", "compose", "logs", "--follow", "--no-color", f"--tail={TAIL}", *services]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="backslashreplace") as process:
        for line in process.stdout or ():
            show(line)
    sys.exit(process.returncode)


def trace(identifier: str) -> None:
    """Print the lines of all logs about the request with this id; exit with 1 if there are none."""
    if not re.fullmatch(r"[A-Za-z0-9-]{8,128}", identifier):
        sys.exit(f"trace: ID is {identifier!r}: it must be a request id, as in the X-Request-ID header of a response")
    found = [(place(line), source, line) for source, lines in logs() for line in lines if is_about(line, identifier)]
    for _, source, line in sorted(found, key=lambda each: each[0]):
        show(f"{source} | {line}")
    if not found:
        sys.exit(
            f"trace: no log has {identifier}: nginx writes a line a second late, and Docker removes the log of a "
            "container with it, other than by a deploy (docs/observability.md)"
        )


def is_about(line: str, identifier: str) -> bool:
    """Return whether a line is of this request, or of none and contains the id. Any client can send another's id."""
    return identifier in line and (parsed(line.strip()) or {}).get("request_id", identifier) == identifier


def place(line: str) -> tuple[bool, str]:
    """Return the place of a line among those of one request: nginx logs a request at its end, to the second."""
    entry = parsed(line.strip()) or {}
    return "status" in entry, str(entry.get("time", ""))


def logs() -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the name and the lines of each log: of containers that are gone, and of all others."""
    for path in sorted(FOLDER.glob("*.log.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="backslashreplace") as file:
            yield path.name.removesuffix(".log.gz").partition("-")[2].partition("-")[2], file
    for container in docker("compose", "ps", "--all", "--quiet", "--no-trunc").split():
        name = docker("container", "inspect", "--format", "{{.Name}}", container).strip().removeprefix("/")
        command = ["docker", "container", "logs", container]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace"
        ) as process:
            yield name, iter(process.stdout or ())


def show(line: str) -> None:
    """Print a line as text; a terminal that was closed ends the command."""
    try:
        print(readable(line.rstrip("\n"), is_coloured=sys.stdout.isatty()), flush=True)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)


if __name__ == "__main__":
    main()
