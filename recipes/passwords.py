"""Check passwords against argon2id hashes (RFC 9106), within bounds for memory, CPU and attempts.

recipes/authentication.py and recipes/sessions.py use it: copy it together with them. A check takes 19 MiB and much CPU
on purpose, so that guessing is slow. Without bounds, requests that know no password exhaust the memory of the server.

- Each worker checks one password at a time. The next requests wait up to WAIT seconds, then they get 503.
- An address has ATTEMPTS wrong passwords per minute, in all workers together, then it gets 429. The limit is not per
  user: otherwise anybody could lock a user out.

The 64 MiB per worker that the launcher reckons with (deploy/server/sizing.py) include the 19 MiB.

`python -m recipes.password_costs` compares the time and the memory of checks with argon2id and with scrypt.
Needs: argon2-cffi (requirements/recipes.txt).
"""

import secrets
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import cache
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from app.settings import settings

WAIT = 2  # seconds
ATTEMPTS = 10
PERIOD = 60  # seconds

# The first choice of OWASP's Password Storage Cheat Sheet. memory_cost is in KiB.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# One thread, because the C library keeps the memory of each thread for the thread's next check.
checks = ThreadPoolExecutor(max_workers=1)


class NotChecked(Exception):  # noqa: N818 (no error: an answer)
    """The password was not checked: answer with `status`, and with Retry-After in `headers`."""

    def __init__(self, status: HTTPStatus, seconds: int) -> None:
        super().__init__(status)
        self.status = status
        self.headers = [("Retry-After", str(seconds))]


def check(password: str, known: str | None, address: str) -> bool:
    """Return whether the password matches the known hash, None for an unknown user; raise NotChecked.

    `address` is the client's, REMOTE_ADDR. Both cases of False take the same time, so that names cannot be found out.
    """
    with closing(attempts()) as rows:
        attempt = begin(rows, network(address), time.time())
        future = checks.submit(matches, password, known)
        try:
            is_right = future.result(WAIT)
        except TimeoutError:
            future.cancel()
            rows.execute("DELETE FROM attempt WHERE id = ?", [attempt])
            raise NotChecked(HTTPStatus.SERVICE_UNAVAILABLE, WAIT) from None
        if is_right:
            rows.execute("DELETE FROM attempt WHERE id = ?", [attempt])
        return is_right


def matches(password: str, known: str | None) -> bool:
    """Return whether the password matches the hash; hash it in any case."""
    try:
        return hasher.verify(known or nobody(), password)
    except VerifyMismatchError:
        return False


@cache
def nobody() -> str:
    """Return the hash of a password that nobody has."""
    return hasher.hash(secrets.token_urlsafe())


def attempts() -> sqlite3.Connection:
    """Return a connection to the list of recent attempts, which all workers share."""
    settings().data_dir.mkdir(parents=True, exist_ok=True)
    rows = sqlite3.connect(settings().data_dir / "attempts.sqlite3", isolation_level=None)
    # No attempt waits for the disk. In a new file, workers that do this at the same time disturb each other.
    with suppress(sqlite3.OperationalError):
        rows.execute("PRAGMA journal_mode = WAL")
    rows.execute("PRAGMA synchronous = NORMAL")
    rows.execute("CREATE TABLE IF NOT EXISTS attempt (id INTEGER PRIMARY KEY, network TEXT, time REAL)")
    return rows


def begin(rows: sqlite3.Connection, network: str, now: float) -> int | None:
    """Add an attempt and return its id; raise NotChecked if the network has no attempt left."""
    rows.execute("DELETE FROM attempt WHERE time <= ?", [now - PERIOD])
    # One statement, so that attempts at the same time count each other.
    added = rows.execute(
        "INSERT INTO attempt (network, time) SELECT ?, ? WHERE (SELECT count(*) FROM attempt WHERE network = ?) < ?",
        [network, now, network, ATTEMPTS],
    )
    if not added.rowcount:
        raise NotChecked(HTTPStatus.TOO_MANY_REQUESTS, PERIOD)
    return added.lastrowid


def network(address: str) -> str:
    """Return the address, or the /64 of an IPv6 address: a subscriber has all addresses in it (RFC 6177, 2)."""
    ip = ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)  # noqa: PLR2004
