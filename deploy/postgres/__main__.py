"""`make backup` and `make restore FILE=...`: the database of deploy/postgres/postgres.yml.

    python -m deploy.postgres backup           write a backup to backups/, and read all of it again
    python -m deploy.postgres restore FILE     replace the database by a backup, in one transaction

Both run in the database's container, and on this machine need only Docker and Python's standard library.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from deploy.docker import DeployError, docker

FOLDER = Path("backups")
CONNECT = ["--username=app", "--dbname=app"]
TABLES = "SELECT count(*) FROM pg_stat_user_tables"
# In one transaction: other sessions wait, and then see the backup. An error leaves the database as it was. Every schema
# is removed, because pg_restore cannot drop a schema that has a table more than the backup.
BEGIN = """
BEGIN;
DO $do$
DECLARE name text;
BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ $re$^(pg_|information_schema)$re$ LOOP
    EXECUTE format($sql$DROP SCHEMA %I CASCADE$sql$, name);
  END LOOP;
END $do$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
"""
RESTORE = f"""
set -e
{{ echo '{BEGIN}'; pg_restore --clean --if-exists --no-owner --file=-; echo 'COMMIT;'; }} |
  PGOPTIONS=--client-min-messages=warning \\
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --output=/dev/null {" ".join(CONNECT)}
"""


def main() -> None:
    """Run the command given on the command line; exit with one sentence if it fails."""
    os.chdir(Path(__file__).parents[2])
    try:
        match sys.argv[1:]:
            case ["backup"]:
                backup()
            case ["restore", name]:
                restore(name)
            case _:
                sys.exit("usage: python3 -m deploy.postgres backup | restore FILE")
    except (DeployError, OSError) as error:
        sys.exit(f"postgres: {error}")


def backup() -> None:
    """Write a backup, and keep it only if pg_restore can read all of it."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    path = FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.dump"
    temporary = path.with_suffix(".new")
    temporary.touch(0o600)
    try:
        with temporary.open("wb") as file:
            execute(["pg_dump", "--format=custom", *CONNECT], stdout=file)
            os.fsync(file.fileno())
        verify(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"postgres: wrote {path}, {path.stat().st_size} bytes")


def restore(name: str) -> None:
    """Replace the database by a backup; raise DeployError, and change nothing, if the backup or the answer is wrong."""
    path = Path(name)
    if not path.is_file():
        raise DeployError(f"FILE is {name!r}: name a backup, for example FILE=backups/20261231-235959.dump")
    verify(path)
    tables = docker("compose", "exec", "--no-TTY", "postgres", "psql", "--tuples-only", *CONNECT, "--command", TABLES)
    if int(tables) and os.environ.get("CONFIRM") != "overwrite":
        raise DeployError(
            f"the database has {int(tables)} tables, whose rows a restore deletes: "
            f"run `make backup`, then `make restore FILE={path} CONFIRM=overwrite`"
        )
    with path.open("rb") as file:
        # pipefail: a backup that cannot be read to its end must not be committed.
        execute(["bash", "-o", "pipefail", "-c", RESTORE], stdin=file)
    print(f"postgres: restored {path}")


def verify(path: Path) -> None:
    """Raise DeployError unless pg_restore can read all of a backup."""
    with path.open("rb") as file:
        execute(["pg_restore", "--file=/dev/null"], stdin=file)


def execute(command: list[str], stdin: IO[bytes] | int = subprocess.DEVNULL, stdout: IO[bytes] | None = None) -> None:
    """Run a command in the database's container; raise DeployError with its message if it fails."""
    ended = subprocess.run(
        ["docker", "compose", "exec", "--no-TTY", "postgres", *command],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    if ended.returncode:
        name = "the restore" if command[0] == "bash" else command[0]
        raise DeployError(f"{name} failed: {ended.stderr.decode(errors='replace').strip()}")


if __name__ == "__main__":
    main()
