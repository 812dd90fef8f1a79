"""`make local`: the stack as plain processes, with the launcher and the nginx configuration of the containers.

There is no deploy here, so the app listens at live.sock itself.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from app.variables import SettingError, choice, integer
from deploy.local.setting import variables
from deploy.server import release_command
from deploy.server.launch import BACKENDS, check, exit_after

ROOT = Path(__file__).parents[2]
PRODUCTION = "deploy.server.launch"


def main(launcher: str = PRODUCTION) -> None:
    """Replace this process by supervisord, which runs nginx and `launcher`; exit with one sentence if it cannot.

    `make dev` (dev.py) starts both itself.
    """
    os.chdir(ROOT)
    try:
        # The environment takes precedence over .env, as for Compose.
        given = variables("app.env") | variables(".env")
        os.environ.update({key: value for key, value in given.items() if key not in os.environ})
        os.environ.pop("SECRETS_FILE", None)  # of a container
        # begin monitoring
        if os.environ.get("LOG_FORMAT", "auto") in ("", "auto"):  # the output of the app and of nginx is not a terminal
            os.environ["LOG_FORMAT"] = "text" if sys.stdout.isatty() else "json"
        # end monitoring
        os.environ["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}:/usr/sbin"
        backend = choice(os.environ, "BACKEND", BACKENDS[0], BACKENDS)
        require(backend, f"`make local BACKEND={backend}` installs it")
        require("nginx", "install Debian's package nginx-light")
        require("setpriv", "it is part of util-linux, which only Linux has")
        bind, port = site_address()
        release_command.limit(os.environ)
    except SettingError as error:
        sys.exit(f"local: {error}")
    run_dir = Path(".local", str(port))  # relative: supervisord.conf cannot quote a path with a space
    host = "localhost" if bind == "127.0.0.1" else bind
    os.environ["DATA_DIR"] = os.environ.get("DATA_DIR") or str(ROOT / "data")
    os.environ.update(
        BACKEND=backend,
        LISTEN=f"unix:{run_dir}/run/live.sock",
        NGINX_LISTEN=f"{bind}:{port}",
        NGINX_USER="user root;"
        if os.geteuid() == 0
        else "",  # nginx's workers must be able to read a clone below /root
        RUN_DIR=str(run_dir),
        STATIC_DIR=str((run_dir / "static").absolute()),
        LAUNCHER=launcher,
        # begin monitoring
        METRICS="true" if os.environ.get("METRICS_PORT", "0") not in ("", "0") else "false",
        METRICS_BIND="127.0.0.1",
        METRICS_DIR=f"{run_dir}/metrics",
        # end monitoring
        WATCHED=f"http://{host}:{port}",
    )
    Path(os.environ["DATA_DIR"]).mkdir(parents=True, exist_ok=True)
    check()
    release_command.run(os.environ)
    lay_out(run_dir, plain_names=launcher != PRODUCTION)
    if launcher != PRODUCTION:
        return
    # Not by the names of the commands: their first lines are paths, which cannot contain every character.
    manager = ["-m", "deploy.local.supervise", "--configuration", "deploy/local/supervisord.conf"]
    os.execv(sys.executable, [sys.executable, *manager])


def require(command: str, remedy: str) -> None:
    """Raise SettingError, with the remedy, unless the command is on the PATH."""
    if not shutil.which(command):
        raise SettingError(f"{command} is not installed: {remedy}")


def site_address() -> tuple[str, int]:
    """Return the address and the port of the site; raise SettingError if they are not available."""
    bind = os.environ.get("HTTP_BIND") or "127.0.0.1"
    port = integer(os.environ, "HTTP_PORT", 8080, 1, 65535)
    address = bind.removeprefix("[").removesuffix("]")
    if ":" in address and bind != f"[{address}]":  # Compose refuses it too
        raise SettingError(f"HTTP_BIND is {bind!r}: it must be in brackets, such as [::1], because it is IPv6")
    try:
        socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
    except OSError as error:
        raise SettingError(
            f"HTTP_BIND is {bind!r} and HTTP_PORT is {port}: {error.strerror}; set another one"
        ) from error
    return bind, port


def lay_out(run_dir: Path, *, plain_names: bool) -> None:
    """Write nginx's folder: its configuration, and the built static files; with `plain_names` the app serves them."""
    shutil.rmtree(run_dir, ignore_errors=True)
    (run_dir / "run").mkdir(parents=True)
    (run_dir / "private").symlink_to(Path(os.environ["DATA_DIR"]).absolute())
    static = run_dir / "static"
    commands = [[f"{ROOT}/nginx/control.sh", "configure", f"{run_dir}"]]
    if plain_names:
        static.mkdir()
        (static / "root").symlink_to(ROOT / "app" / "static" / "root")
    else:
        commands.append([sys.executable, "-m", "deploy.server.build_static", f"{static}"])
    for command in commands:
        try:
            code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        except OSError as error:
            reason = "it must be executable, and have the line ends of Unix"
            sys.exit(f"local: {command[0]} cannot be run: {error.strerror}: {reason}")
        if code:
            sys.exit(code)  # the command has printed the reason


if __name__ == "__main__":
    exit_after(main)
