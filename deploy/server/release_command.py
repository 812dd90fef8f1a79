"""The one-shot `release` service: runs RELEASE_COMMAND, such as database migrations, before the release starts.

    python -m deploy.server.release_command          run it for a release that no deploy made (`docker compose up`)
    python -m deploy.server.release_command --now    run it (`make deploy`)

`docker compose up` starts this service again each time. A deploy has run the command for a release with a name.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from app.settings import environment
from app.variables import SettingError, integer

POLL_SECONDS = 0.1
STOP_SECONDS = 8  # between SIGTERM and SIGKILL, less than Docker's own 10


def run(environ: Mapping[str, str]) -> None:
    """Run RELEASE_COMMAND, if it is set, with the secrets; exit with one sentence unless it succeeds in time."""
    command = environ.get("RELEASE_COMMAND")
    if not command:
        return
    seconds = limit(environ)
    print(f"release: {command}", flush=True)
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    deadline = time.monotonic() + seconds
    with subprocess.Popen(
        ["sh", "-c", command], env=environ, stdin=subprocess.DEVNULL, start_new_session=True
    ) as shell:
        try:
            while (code := shell.poll()) is None:
                if signals:
                    sys.exit(128 + signals[0])
                if time.monotonic() > deadline:
                    limits = f"{seconds} seconds (RELEASE_SECONDS)"
                    sys.exit(f"release: RELEASE_COMMAND did not end within {limits}, and was ended")
                time.sleep(POLL_SECONDS)
        finally:
            end(shell)
            signal.signal(signal.SIGTERM, before)
    if code:
        sys.exit(f"release: RELEASE_COMMAND failed with exit code {code}: {command}")


def limit(environ: Mapping[str, str]) -> int:
    """Return the time limit in seconds; raise SettingError for a bad one."""
    return integer(environ, "RELEASE_SECONDS", 600, 1, 86400)


def end(shell: subprocess.Popen[bytes]) -> None:
    """End the processes of the command, if some are left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(shell.pid, number)
            shell.wait(STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["--now"] or (os.environ.get("RELEASE") or "dev") == "dev":
            run(environment())
    except SettingError as error:
        print(f"release: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
