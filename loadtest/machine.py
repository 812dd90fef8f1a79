"""The machine that sends the load, and the commit of the project on it."""

import os
import platform
import subprocess
from pathlib import Path


def describe() -> str:
    """Return the number of cores, the processor and the memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    return f"{os.cpu_count()} cores ({model}) with {memory:.0f} GB"


def commit() -> str:
    """Return the commit of the working tree, with "-dirty" if it has changes; "unknown" without git."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        ended = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return ended.stdout.strip() or "unknown"
