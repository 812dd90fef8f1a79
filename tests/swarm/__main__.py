"""`make swarm-drills`: run every drill on a cluster, and print a table of the results."""

import signal
import sys
import tempfile
from pathlib import Path

from tests.drills.drills import TABLE, row, run
from tests.swarm.cluster import Cluster
from tests.swarm.drills import DRILLS


def main() -> None:
    """Run the drills; exit 1 if one misses its goal."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # removes the cluster, as Ctrl-C does
    missed = []
    print(TABLE, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), "gunicorn")
        try:
            cluster.up()
            for drill in DRILLS:
                result = run(cluster, drill)
                print(row(result), flush=True)
                missed += [f"{drill.name}: {complaint}" for complaint in result.complaints()]
        finally:
            cluster.down()
    if missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
