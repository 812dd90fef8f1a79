"""The one-shot `assets` service: copies this release's static files into a volume, beside those of earlier releases.

A page of the release before still finds its files there, during a deploy and after it. Nothing is copied, and nothing
that waits for this starts, unless the release can: its settings are allowed and its application can be imported.
"""

import os
import shutil
import sys
from pathlib import Path

from deploy.serve import check

STATIC = Path(__file__).parent.parent / "app" / "static"


def publish(source: Path, target: Path) -> int:
    """Copy every file of `source` into `target`, each at once for whoever reads it, and return how many there were."""
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.copy2(path, temporary)
        temporary.replace(copy)
    return len(files)


if __name__ == "__main__":
    check()
    print(f"assets: {publish(STATIC, Path(sys.argv[1]))} files are in place")
