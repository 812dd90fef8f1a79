"""`make dev`: `make local` for development. reload.py starts another server after each edit."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.__main__ import main as prepare
from deploy.local.reload import CHECK_SECONDS, DIES, STOP_SECONDS, interrupt, serve
from deploy.local.watch import answers


def run() -> None:
    """Run nginx and the app until this process is stopped."""
    directory = os.environ["RUN_DIR"]
    started: list[subprocess.Popen[bytes]] = []

    def start_nginx() -> None:
        line = ["nginx", "-p", "./", "-c", "conf/nginx.conf", "-e", "stderr"]
        line += ["-g", f"daemon off; {os.environ['NGINX_USER']}"]
        started.append(subprocess.Popen([*DIES, *line], cwd=directory))
        while not answers(os.environ["WATCHED"]):
            time.sleep(CHECK_SECONDS)
        print(f"local: {os.environ['BACKEND']} behind nginx, {os.environ['WATCHED']} (Ctrl-C stops it)", flush=True)

    try:
        serve(Path(directory, "run"), start_nginx)
    finally:
        for nginx in started:
            nginx.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                nginx.wait(STOP_SECONDS)
            nginx.kill()


def main() -> None:
    """Run the site until Ctrl-C."""
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)  # a shell lets the commands of a script in the background ignore it
    prepare("deploy.local.dev")
    with suppress(KeyboardInterrupt):
        run()


if __name__ == "__main__":
    main()
