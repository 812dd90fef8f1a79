"""`make local`: the stack as plain processes on this machine, with the containers' own launcher and configuration.

One thing is simpler than in containers: nothing is handed over, so the app listens at live.sock itself.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from dotenv import dotenv_values

from app.variables import SettingError, choice, integer
from deploy.server.launch import BACKENDS, check

ROOT = Path(__file__).parents[2]


def main(launcher: str = "deploy.server.launch") -> None:
    """Replace this process by supervisord, which runs nginx and `launcher`; exit with one sentence where it cannot."""
    os.chdir(ROOT)
    # As Compose does it: the environment comes before .env.
    os.environ.update({key: value or "" for key, value in dotenv_values(".env").items() if key not in os.environ})
    os.environ["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}:/usr/sbin"
    try:
        backend = choice(os.environ, "BACKEND", "gunicorn", BACKENDS)
        require(backend, f"`make local BACKEND={backend}` installs it")
        require("nginx", "it is Debian's package nginx-light")
        require("setpriv", "it is part of util-linux, and so of Linux only")
        bind, port = site_address()
    except SettingError as error:
        sys.exit(f"local: {error}")
    run_dir = Path(".local", str(port))
    os.environ.update(
        BACKEND=backend,
        LISTEN=f"unix:{run_dir}/run/live.sock",
        NGINX_LISTEN=f"{bind}:{port}",
        NGINX_USER="user root;" if os.geteuid() == 0 else "",  # or its workers could not look into a clone below /root
        RUN_DIR=str(run_dir.absolute()),
        STATIC_DIR=str((run_dir / "static").absolute()),
        LAUNCHER=launcher,
    )
    check()
    lay_out(run_dir, plain_names=launcher != "deploy.server.launch")
    host = "localhost" if bind == "127.0.0.1" else bind
    print(f"local: {backend} behind nginx, http://{host}:{port} (Ctrl-C stops it)", flush=True)
    os.execvp("supervisord", ["supervisord", "--configuration", "deploy/local/supervisord.conf"])


def require(command: str, remedy: str) -> None:
    """Raise SettingError, with the remedy, unless the command is on the PATH."""
    if not shutil.which(command):
        raise SettingError(f"{command} is not installed: {remedy}")


def site_address() -> tuple[str, int]:
    """Return the address and the port to serve the site at; raise SettingError where they are not to be had."""
    bind = os.environ.get("HTTP_BIND") or "127.0.0.1"
    port = integer(os.environ, "HTTP_PORT", 8080, 1, 65535)
    try:
        socket.create_server((bind, port)).close()
    except OSError as error:
        raise SettingError(
            f"HTTP_BIND is {bind!r} and HTTP_PORT is {port}: {error.strerror}; set another one"
        ) from error
    return bind, port


def lay_out(run_dir: Path, *, plain_names: bool) -> None:
    """Make the folder that nginx is started in anew: its configuration, the static files (built, or as they are)."""
    shutil.rmtree(run_dir, ignore_errors=True)
    (run_dir / "run").mkdir(parents=True)
    static = run_dir / "static"
    commands = [[f"{ROOT}/nginx/control.sh", "configure", f"{run_dir}"]]
    if plain_names:
        static.symlink_to(ROOT / "app" / "static")
    else:
        commands.append([sys.executable, "-m", "deploy.server.build_static", f"{static}"])
    for command in commands:
        if code := subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            sys.exit(code)  # it has said why


if __name__ == "__main__":
    main()
