"""`make bench-static`: measure static files with the project's nginx configuration and with a minimal one.

wrk loads both in turns, with the same files and the same nginx program. The project's configuration has all its
headers, the JSON access log and precompressed files. The minimal one has nginx's defaults.
"""

import tempfile
from contextlib import ExitStack
from gzip import compress
from pathlib import Path

from bench.report import ratio, spread, verdict
from bench.servers import ROOT, cpu_seconds, need_programs, nginx, wait_for, wrk

ROUNDS = 21
SECONDS = 1
CONNECTIONS = 256
STYLE = (ROOT / "app" / "static" / "style.css").read_bytes()
FILES = {
    "1kB.0123456789ab.css": STYLE[:1000],
    "100kB.0123456789ab.css": b"".join(b".c%d {}\n" % number + STYLE for number in range(40))[:100_000],
}
LEAST = {"1kB.0123456789ab.css": 0.97, "100kB.0123456789ab.css": 3.4}  # of the minimal configuration's rate
OURS, MINIMAL = "127.0.0.1:8701", "127.0.0.1:8702"


def main() -> None:
    """Measure both configurations in turns, and print the table and the verdicts."""
    need_programs()
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "static").mkdir()
        for file, content in FILES.items():
            (folder / "static" / file).write_bytes(content)
            (folder / "static" / f"{file}.gz").write_bytes(compress(content))
        processes = {
            address: stack.enter_context(nginx(folder, address, is_minimal=address == MINIMAL))
            for address in (OURS, MINIMAL)
        }
        for address in processes:
            wait_for(f"http://{address}/static/{next(iter(FILES))}")
        for _ in range(ROUNDS):
            for file in FILES:
                for address, process in processes.items():
                    before = cpu_seconds(process)
                    rate = wrk(f"http://{address}/static/{file}", CONNECTIONS, SECONDS).rate
                    rates.setdefault((file, address), []).append(rate)
                    costs.setdefault((file, address), []).append((cpu_seconds(process) - before) / rate / SECONDS * 1e6)
    for title, found in (("requests per second", rates), ("nginx CPU time per request in µs", costs)):
        print(f"{title}: median of {ROUNDS} rounds (minimum to maximum)")
        for file in FILES:
            print(f"  {file[:5]:>6}  ours {spread(found[file, OURS])}  minimal {spread(found[file, MINIMAL])}")
    for file, least in LEAST.items():
        verdict(f"static {file[:5]}, ours / minimal", ratio(rates[file, OURS], rates[file, MINIMAL]), least=least)


if __name__ == "__main__":
    main()
