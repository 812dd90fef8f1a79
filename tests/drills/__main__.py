"""`make drills`: does every drill on both backends, or those that DRILLS names, and prints what came of each."""

import os
import sys
import tempfile
from pathlib import Path

from deploy.server.launch import BACKENDS
from tests.drills.drills import DAEMON, DRILLS, TABLE, Drill, row, run
from tests.drills.site import TERMS, DrillSite, drill_site, engine_site

MISSED: list[str] = []


def main() -> None:
    """Do the drills; exit 1 where one has missed its goal."""
    names = [name for name in os.environ.get("DRILLS", "").split(",") if name]
    chosen = [drill for drill in DRILLS.values() if not names or drill.name in names]
    of_the_engine = [drill for drill in DAEMON if not names or drill.name in names]
    if unknown := set(names) - {drill.name for drill in (*chosen, *of_the_engine)}:
        sys.exit(f"drills: DRILLS names {unknown}: it must be {', '.join([*DRILLS, *(each.name for each in DAEMON)])}")
    print(f"{TERMS}\n\n{TABLE}", flush=True)
    for backend in BACKENDS if chosen else ():
        with tempfile.TemporaryDirectory() as folder, drill_site(backend, Path(folder)) as site:
            for drill in chosen:
                do(drill, site, backend)
    if of_the_engine:
        with tempfile.TemporaryDirectory() as folder, engine_site(Path(folder)) as site:
            for backend in BACKENDS:
                site.make(BACKEND=backend, RELEASE=backend)
                for drill in of_the_engine:
                    site.engine.configure(f'{{"live-restore": {str(drill is DAEMON[1]).lower()}}}')
                    do(drill, site, backend)
    if MISSED:
        sys.exit("\n".join(MISSED))


def do(drill: Drill, site: DrillSite, backend: str) -> None:
    """Do the drill, and print what came of it."""
    try:
        result = run(site, drill)
    except Exception as error:  # noqa: BLE001 (whatever it was, the other drills are still to be done)
        MISSED.append(f"{backend}, {drill.name}: {type(error).__name__}: {error}")
        return
    print(row(result, backend), flush=True)
    MISSED.extend(f"{backend}, {drill.name}: {complaint}" for complaint in result.complaints())


if __name__ == "__main__":
    main()
