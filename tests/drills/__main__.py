"""`make drills`: does every drill on both backends, or those that DRILLS names, and prints what came of each."""

import os
import sys
import tempfile
from pathlib import Path

from deploy.serve import BACKENDS
from tests.drills.drills import DRILLS, Drill, Result, run
from tests.drills.site import drill_site


def row(backend: str, result: Result) -> str:
    """Return a line of the table."""
    outcomes: dict[str, int] = {}
    for each in result.failed:
        outcomes[f"{each.kind} {each.outcome}"] = outcomes.get(f"{each.kind} {each.outcome}", 0) + 1
    counts = ", ".join(f"{count} {name}" for name, count in outcomes.items())
    failed = f"{len(result.failed)}{f' ({counts})' if counts else ''}"
    cells = [
        result.drill.name,
        backend,
        str(len(result.answers)),
        failed,
        f"{result.worst:.2f} s",
        f"{result.recovery:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Do the drills; exit 1 where one has missed its goal."""
    names = [name for name in os.environ.get("DRILLS", "").split(",") if name]
    chosen: list[Drill] = [DRILLS[name] for name in names] if names else list(DRILLS.values())
    missed = []
    print("| Drill | Backend | Requests | Failed | Worst added latency | Time to recover |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for backend in BACKENDS:
        with tempfile.TemporaryDirectory() as folder, drill_site(backend, Path(folder)) as site:
            for drill in chosen:
                try:
                    result = run(site, drill)
                except AssertionError as error:
                    missed.append(f"{backend}, {drill.name}: {error}")
                    continue
                print(row(backend, result), flush=True)
                missed += [f"{backend}, {drill.name}: {complaint}" for complaint in result.complaints()]
    if missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
