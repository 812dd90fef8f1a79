"""`make bench-static`: measure static files with the project's nginx configuration and with a minimal one.

wrk loads both in turns, with the same files and the same nginx program. The project's configuration has all its
headers, the JSON access log and precompressed files. The minimal one has nginx's defaults.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx
from zopfli.gzip import compress

ROOT = Path(__file__).parent.parent
ROUNDS = 21
SECONDS = 1
STYLE = (ROOT / "app" / "static" / "style.css").read_bytes()
FILES = {
    "1kB.0123456789ab.css": STYLE[:1000],
    "100kB.0123456789ab.css": b"".join(b".c%d {}\n" % number + STYLE for number in range(40))[:100_000],
}
OURS, MINIMAL = "127.0.0.1:8701", "127.0.0.1:8702"
MINIMAL_CONF = f"""
worker_processes auto;
pid minimal.pid;
events {{}}
http {{
    types {{ text/css css; }}
    access_log minimal.log;
    server {{ listen {MINIMAL}; root .; }}
}}
"""


def main() -> None:
    """Measure both configurations in turns and print the table."""
    os.environ["PATH"] += ":/usr/sbin"
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            raise SystemExit(f"bench-static: {program} is not installed: run `apt-get install {program}`")
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as processes:
        for _ in range(ROUNDS):
            for name in FILES:
                for address, process in processes.items():
                    before = cpu_seconds(process)
                    rate = wrk(f"http://{address}/static/{name}")
                    rates.setdefault((name, address), []).append(rate)
                    costs.setdefault((name, address), []).append((cpu_seconds(process) - before) / rate / SECONDS * 1e6)
    for title, found in (("requests per second", rates), ("nginx CPU time per request in µs", costs)):
        print(f"{title}: median of {ROUNDS} rounds (minimum to maximum), and median ratio")
        for name in FILES:
            ours, minimal = found[name, OURS], found[name, MINIMAL]
            ratio = median(one / other for one, other in zip(ours, minimal, strict=True))
            print(f"  {name.partition('.')[0]:>6}  ours {spread(ours)}  minimal {spread(minimal)}  {ratio:.2f} ×")


def spread(figures: list[float]) -> str:
    """Return the median, minimum and maximum as text."""
    return f"{median(figures):8,.1f} ({min(figures):,.1f} to {max(figures):,.1f})"


def cpu_seconds(process: int) -> float:
    """Return the CPU time of the process's children in seconds (proc(5))."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")  # user and system


def wrk(url: str) -> float:
    """Return the requests per second of the URL with 256 connections that accept gzip, as browsers do."""
    command = ["wrk", "--threads", "1", "--connections", "256", "--duration", f"{SECONDS}s"]
    report = subprocess.run(
        [*command, "--header", "Accept-Encoding: gzip", url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in report:
        raise SystemExit(report)
    return next(float(line.split()[1]) for line in report.splitlines() if line.startswith("Requests/sec:"))


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, int]]:
    """Run both servers on the same files during the block; yield their master processes by address."""
    folder.chmod(0o755)
    (folder / "static").mkdir()
    for name, content in FILES.items():
        (folder / "static" / name).write_bytes(content)
        (folder / "static" / f"{name}.gz").write_bytes(compress(content))
    (folder / "minimal.conf").write_text(MINIMAL_CONF)
    control = [f"{ROOT}/nginx/control.sh", "configure", f"{folder}"]
    subprocess.run(control, env=os.environ | {"NGINX_LISTEN": OURS}, check=True)
    with ExitStack() as stack:
        log = stack.enter_context((folder / "ours.log").open("w"))
        processes = {}
        for address, configuration in ((OURS, "conf/nginx.conf"), (MINIMAL, "minimal.conf")):
            command = ["nginx", "-p", f"{folder}/", "-c", configuration, "-e", "stderr", "-g", "daemon off;"]
            process = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=log))
            stack.callback(process.terminate)
            wait_for(f"http://{address}/static/{next(iter(FILES))}")
            processes[address] = process.pid
        yield processes


def wait_for(url: str) -> None:
    """Wait until the URL responds; raise TimeoutError after five seconds."""
    for _ in range(100):
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} did not respond within 5 seconds")


if __name__ == "__main__":
    main()
