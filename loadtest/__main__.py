"""locust with a verdict on any locustfile. It exits with 2 if it ends before there is a verdict."""

import os
import sys

import locust.main
import psutil  # type: ignore[import-untyped] # a dependency of locust
from dotenv import dotenv_values
from locust.exception import RPCError

from loadtest import start
from loadtest.outcome import FAILED, INVALID, INVALID_VERDICT
from loadtest.site import ENV_FILE


def main() -> None:
    """Run locust. Exit with 2 for locust's own exit code 1, for example without workers: the run is invalid."""
    read_settings()
    start.listen()
    process, has_verdict = os.getpid(), []
    locust.events.quit.add_listener(lambda **_: has_verdict.append(True))
    try:
        locust.main.main()
    except (SystemExit, RPCError) as error:  # RPCError: another run uses the master's port
        code = error.code if isinstance(error, SystemExit) else FAILED
        if code != FAILED or has_verdict or os.getpid() != process:
            raise
        for worker in psutil.Process().children():  # forked workers wait for their master for minutes
            worker.kill()
        if isinstance(error, RPCError):
            print(f"load: {error}: end the other run, or set LOCUST_MASTER_BIND_PORT and LOCUST_MASTER_NODE_PORT")
        print(f"load: {INVALID_VERDICT}", flush=True)
        sys.exit(INVALID)


def read_settings() -> None:
    """Take locust's settings from .env unless the environment has them; an empty value counts as unset."""
    for name, value in {**dotenv_values(ENV_FILE), **os.environ}.items():
        if name.startswith("LOCUST_"):
            os.environ.pop(name, None)
            if value:
                os.environ[name] = value
    os.environ.setdefault("LOCUST_LOCUSTFILE", "loadtest/locustfile.py")


if __name__ == "__main__":
    main()
