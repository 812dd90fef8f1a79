"""Measure the CPU time and the memory of a password check, with argon2id and with scrypt (recipes/passwords.py).

Run: `python -m recipes.password_costs`. Needs: argon2-cffi (requirements/recipes.txt).
"""

import hashlib
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from resource import RUSAGE_SELF, getrusage
from statistics import median

from argon2 import PasswordHasher

from recipes.passwords import hasher


def scrypt(cost: int, parallelism: int) -> Callable[[], bytes]:
    """Return a check with scrypt (RFC 7914), whose block size is 8."""
    memory = 132 * cost * 8 * parallelism
    return lambda: hashlib.scrypt(b"password", salt=bytes(16), n=cost, r=8, p=parallelism, maxmem=memory)


def argon2id(passes: int, memory: int) -> Callable[[], str]:
    """Return a check with argon2id (RFC 9106) and this memory in MiB."""
    return lambda: PasswordHasher(passes, memory * 1024, 1).hash("password")


# All but Werkzeug's default are in OWASP's Password Storage Cheat Sheet, as equally strong.
CHECKS: dict[str, Callable[[], object]] = {
    "argon2id, 19 MiB, 2 passes (passwords.py)": lambda: hasher.hash("password"),
    "argon2id, 46 MiB, 1 pass": argon2id(1, 46),
    "scrypt, N=2^14, r=8, p=5": scrypt(2**14, 5),
    "scrypt, N=2^15, r=8, p=3": scrypt(2**15, 3),
    "scrypt, N=2^17, r=8, p=1": scrypt(2**17, 1),
    "scrypt, N=2^15, r=8, p=1 (Werkzeug)": scrypt(2**15, 1),
}


def measure(name: str) -> str:
    """Return the CPU time of a check, the median of nine, and its memory. The process must be new."""
    before = getrusage(RUSAGE_SELF).ru_maxrss
    times: list[float] = []
    for _ in range(9):
        started = time.process_time()
        CHECKS[name]()
        times.append(time.process_time() - started)
    memory = (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024
    return f"{name:<42}{median(times) * 1000:6.0f} ms{memory:6.0f} MiB"


if __name__ == "__main__":
    with get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        for line in processes.imap(measure, CHECKS):
            sys.stdout.write(f"{line}\n")
