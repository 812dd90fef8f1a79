"""The logs of the app's containers that are gone. Docker removes a container's log with the container."""

import gzip
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from deploy.docker import Container, docker

FOLDER = Path(".local/logs")
KEPT = 10  # logs, of 30 MB at most each before they are compressed (docker-compose.yml)
SECONDS = 120  # to read one


def keep_log(container: Container) -> None:
    """Write the log of a stopped container to a file; raise DeployError or OSError if that fails."""
    text = docker("container", "logs", container.id, stderr=subprocess.STDOUT, seconds=SECONDS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{container.release.tag}-{container.id[:12]}.log.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)
    for old in sorted(FOLDER.glob("*.log.gz"))[:-KEPT]:
        old.unlink()
