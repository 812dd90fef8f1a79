"""`make certs`: a certificate for development, and the authority that has signed it, in deploy/tls/certs/.

    python -m deploy.tls.certs localhost 127.0.0.1 ::1

Import certs/authority.pem into the browser and it is trusted. The authority's own key is thrown away: what it has
signed here is all that it will ever sign. In production an ACME client writes the same two files; see docs/tls.md.
"""

import errno
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

FOLDER = Path(__file__).parent / "certs"
DAYS = 365  # as long as a browser and Mozilla's profile allow


def make(folder: Path, names: list[str]) -> None:
    """Write privkey.pem, fullchain.pem and authority.pem for these hosts; raise OSError, ValueError."""
    for name in names:
        if "@" in name or "/" in name:  # trustme would take it for a mailbox or a network
            raise ValueError(f"{name!r} is no host")
    authority = trustme.CA(organization_name="A development machine")
    now = datetime.now(UTC)
    certificate = authority.issue_cert(*names, not_before=now, not_after=now + timedelta(days=DAYS))
    files = {
        folder / "privkey.pem": certificate.private_key_pem.bytes(),
        folder / "fullchain.pem": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        folder / "authority.pem": authority.cert_pem.bytes(),
    }
    for path in files:  # all of them first: a new key beside an old certificate would stop nginx
        if path.exists():
            raise FileExistsError(errno.EEXIST, f"it is there already: remove {folder.name}/*.pem to make others", path)
    folder.mkdir(exist_ok=True)
    # For everybody to read, whatever your umask: nginx is user 101 in its container. A key for development only.
    folder.chmod(0o755)
    for path, content in files.items():
        path.write_bytes(content)
        path.chmod(0o644)


def main() -> None:
    """Make the files, and exit with one sentence where they are there already or a name cannot be."""
    names = sys.argv[1:]
    try:
        make(FOLDER, names)
    except OSError as error:
        sys.exit(f"certs: {error.filename}: {error.strerror}")
    except ValueError as error:
        sys.exit(
            f"certs: NAMES is {' '.join(names)!r}: {error}; it must be hosts or addresses, with spaces between them"
        )
    print(f"certs: for {', '.join(names)}, {DAYS} days; import {FOLDER.name}/authority.pem into your browser")


if __name__ == "__main__":
    main()
