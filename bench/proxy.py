"""`make bench-proxy`: count nginx's instructions for one request to the app, with the project's configuration.

callgrind counts them, so the figure hardly depends on the machine. One client sends the requests one after another, on
one connection. The difference of a short and a long run leaves out nginx's start.
"""

import re
import tempfile
from http.client import HTTPConnection
from pathlib import Path

from bench.names import SERVED
from bench.reference.bare import PATH
from bench.report import verdict
from bench.servers import app_server, need_programs, nginx, wait_for
from deploy.server.launch import BACKENDS

ADDRESS = "127.0.0.1:8703"
FEW, MANY = 100, 600  # requests
MOST = 55_000  # instructions


def total(folder: Path, requests: int, *, is_minimal: bool) -> int:
    """Return the instructions of an nginx that starts, passes so many requests to the app, and stops."""
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counted"]
    with nginx(folder, ADDRESS, is_minimal=is_minimal, under=valgrind):
        wait_for(f"http://{ADDRESS}{PATH}")
        client = HTTPConnection(ADDRESS)
        for _ in range(requests):
            client.request("GET", PATH)
            client.getresponse().read()
    found = re.findall(r"^(?:totals|summary): (\d+)", (folder / "counted").read_text(), re.MULTILINE)
    return int(found[0])


def main() -> None:
    """Count with both configurations, and print the figures and the verdict."""
    need_programs()
    print("Instructions of nginx for one request to the app")
    figures: dict[str, float] = {}
    for name, application in {"minimal": "bare callable", "ours": SERVED[BACKENDS[0]]}.items():
        with tempfile.TemporaryDirectory() as home, app_server(Path(home), BACKENDS[0], application):
            few, many = (total(Path(home), number, is_minimal=name == "minimal") for number in (FEW, MANY))
        figures[name] = (many - few) / (MANY - FEW)
        print(f"  {name:<8} {figures[name]:8,.0f}")
    verdict("nginx's instructions / 55,000", figures["ours"] / MOST, most=1)


if __name__ == "__main__":
    main()
