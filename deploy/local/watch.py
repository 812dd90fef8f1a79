"""Checks the app of `make local`, because supervisord has no health checks.

    python -m deploy.local.watch URL

It prints the address of the site when the site answers. It ends what hangs, and supervisord then starts another server.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from deploy.local.supervise import READY
from deploy.server import health, live

CHECK_SECONDS = 2  # between two checks, as in docker-compose.yml
START_SECONDS = 60  # after which a server must listen
FIRST_SECONDS = 0.1  # between two checks until the site answers for the first time


def main() -> None:
    """Print the address once the site answers, and then check the app every CHECK_SECONDS."""
    [url] = sys.argv[1:]
    while not answers(url):
        time.sleep(FIRST_SECONDS)
    Path(os.environ["RUN_DIR"], READY).touch()
    print(f"local: {os.environ['BACKEND']} behind nginx, {url} (Ctrl-C stops it)", flush=True)
    with suppress(OSError):
        if (status := live.answer(os.environ["LISTEN"])) != b"200":
            print(
                f"local: {live.complaint(os.environ['LISTEN'], '/readyz', status)}: in Docker, {live.REMEDY}",
                flush=True,
            )
    process_file = Path(os.environ["RUN_DIR"], "app.pid")
    served = seen = 0  # the process that has served, and the one that was there last
    since = 0.0
    while True:
        with suppress(OSError, ValueError):  # it is starting; its file is empty for a moment
            process = int(process_file.read_text())
            if process != seen:
                seen, since = process, time.monotonic()
            # It may have served, and lost its socket, between two checks.
            has_served = process == served or time.monotonic() - since > START_SECONDS
            if health.examine(os.environ["LISTEN"], process, has_served=has_served):
                served = process
        time.sleep(CHECK_SECONDS)


def answers(url: str) -> bool:
    """Return whether the app answers through nginx. 421 with ALLOWED_HOSTS is an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{url}/readyz", timeout=live.ANSWER_SECONDS).close()  # not in the access log
    except urllib.error.HTTPError as error:
        return error.code < HTTPStatus.INTERNAL_SERVER_ERROR
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
