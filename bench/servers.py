"""Starts nginx and the app servers for the bench, loads them with wrk, and reads the CPU time that they use."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from deploy.server.launch import command

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "bench" / "reference"
WORKERS, THREADS = 2, 4
SECONDS = 2  # of each measurement
TICKS = os.sysconf("SC_CLK_TCK")  # per second


class Load(NamedTuple):
    """What wrk measured."""

    rate: float  # requests per second
    p99: float  # milliseconds


def wrk(url: str, connections: int, seconds: int = SECONDS) -> Load:
    """Load the URL with connections that accept gzip, as browsers do; exit if a request fails."""
    command = ["wrk", "--latency", "--threads", "1", "--connections", f"{connections}", "--duration", f"{seconds}s"]
    gzip = ["--header", "Accept-Encoding: gzip"]
    report = subprocess.run([*command, *gzip, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise SystemExit(report)
    figure, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", report)[0]
    rate = re.findall(r"Requests/sec:\s+([\d.]+)", report)[0]
    return Load(float(rate), float(figure) * {"us": 0.001, "ms": 1, "s": 1000}[unit])


def cpu_seconds(process: int) -> float:
    """Return the CPU time of the process and its descendants, those that have exited included (proc(5))."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(map(int, stat[11:15])) / TICKS + sum(cpu_seconds(int(child)) for child in children)


@contextmanager
def running(arguments: list[str], folder: Path, **environ: str) -> Iterator[int]:
    """Run a server in the folder during the block; yield its process id."""
    environment = os.environ | environ | {"PYTHONPATH": f"{ROOT}", "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"}
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def nginx(folder: Path, address: str, *, is_minimal: bool, under: Sequence[str] = ()) -> Iterator[int]:
    """Run nginx with this project's configuration, or with the minimal one; as one process `under` another command."""
    folder.chmod(0o755)
    if is_minimal:
        configuration = "minimal.conf"
        text = (REFERENCE / "nginx.conf").read_text().replace("127.0.0.1:8702", address)
        (folder / configuration).write_text(text)
    else:
        configuration = "conf/nginx.conf"
        control = [f"{ROOT}/nginx/control.sh", "configure", f"{folder}"]
        subprocess.run(control, env=os.environ | {"NGINX_LISTEN": address}, check=True)
    user = " user root;" if os.geteuid() == 0 else ""
    alone = " master_process off;" if under else ""
    arguments = ["nginx", "-p", f"{folder}/", "-c", configuration, "-e", "stderr", "-g", f"daemon off;{user}{alone}"]
    with running([*under, *arguments], folder) as process:
        yield process


@contextmanager
def app_server(
    folder: Path,
    backend: str,
    application: str,
    *options: str,
    is_frozen: bool = False,
    size: tuple[int, int] = (WORKERS, THREADS),
) -> Iterator[int]:
    """Run a server with an application of bench.applications, and with today's or the frozen configuration.

    `options`: more of the server's; `size`: the number of workers, and of threads in each.
    """
    (folder / "run").mkdir(exist_ok=True)
    environ = {
        "BACKEND": backend,
        "LISTEN": f"unix:{folder}/run/live.sock",
        "WEB_CONCURRENCY": f"{size[0]}",
        "WEB_THREADS": f"{size[1]}",
    }
    arguments = command(environ, "bench.applications:application")
    if is_frozen:
        arguments = [each.replace(f"{ROOT}/deploy/server/", f"{REFERENCE}/") for each in arguments]
    arguments[1:1] = options
    del environ["WEB_CONCURRENCY"]
    with running(arguments, folder, **environ, BENCH_APPLICATION=application) as process:
        yield process


def wait_for(url: str) -> None:
    """Wait until the URL responds; raise TimeoutError after ten seconds."""
    for _ in range(200):
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not respond within 10 seconds")


def need_programs() -> None:
    """Exit unless nginx and wrk are installed."""
    os.environ["PATH"] += ":/usr/sbin"
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            raise SystemExit(f"bench: {program} is not installed: run `deploy/install.sh nginx wrk`")
