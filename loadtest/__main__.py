"""locust, with an exit code that means the same from its first line on: 2 where it ends before there is a verdict."""

import os
import sys

import locust.main
import psutil  # type: ignore[import-untyped] # it comes with locust
from dotenv import dotenv_values
from locust.exception import RPCError

from loadtest.report import FAILED, INVALID, INVALID_VERDICT
from loadtest.site import ENV_FILE


def main() -> None:
    """Run locust; what it ends with by itself, as where its workers do not come, says nothing of the server."""
    read_settings()
    process, ended = os.getpid(), []
    locust.events.quit.add_listener(lambda **_: ended.append(True))
    try:
        locust.main.main()
    except (SystemExit, RPCError) as error:  # the second where the master's port is another run's
        code = error.code if isinstance(error, SystemExit) else FAILED
        if code != FAILED or ended or os.getpid() != process:
            raise
        for worker in psutil.Process().children():  # a fork each, which would wait for its master for minutes
            worker.kill()
        if isinstance(error, RPCError):
            print(f"load: {error}: end the other run, or set LOCUST_MASTER_BIND_PORT and LOCUST_MASTER_NODE_PORT")
        print(f"load: {INVALID_VERDICT}", flush=True)
        sys.exit(INVALID)


def read_settings() -> None:
    """Take locust's settings from .env where the environment has none; an empty one is unset."""
    settings = {**dotenv_values(ENV_FILE), **os.environ}
    for name, value in settings.items():
        if name.startswith("LOCUST_"):
            os.environ.pop(name, None)
            if value:
                os.environ[name] = value


if __name__ == "__main__":
    main()
