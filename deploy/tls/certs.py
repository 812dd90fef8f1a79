"""`make certs`: create a certificate for development, and the authority that signs it, in deploy/tls/certs/.

    python -m deploy.tls.certs localhost 127.0.0.1 ::1

To trust the certificate, import certs/authority.pem into the browser. The authority's key is not stored, so it can sign
no other certificate. In production an ACME client writes the same two files: docs/tls.md.
"""

import errno
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

FOLDER = Path(__file__).parent / "certs"
DAYS = 365  # Mozilla's profile allows 366


def make(folder: Path, names: list[str]) -> None:
    """Write privkey.pem, fullchain.pem and authority.pem; raise OSError, or ValueError for a bad host name."""
    for name in names:
        if "@" in name or "/" in name:  # trustme would treat it as a mailbox or a network
            raise ValueError(f"{name!r} is not a host name")
    authority = trustme.CA(organization_name="A development machine")
    now = datetime.now(UTC)
    certificate = authority.issue_cert(*names, not_before=now, not_after=now + timedelta(days=DAYS))
    files = {
        folder / "privkey.pem": certificate.private_key_pem.bytes(),
        folder / "fullchain.pem": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        folder / "authority.pem": authority.cert_pem.bytes(),
    }
    for path in files:  # before writing any: nginx does not start with a key of another certificate
        if path.exists():
            raise FileExistsError(errno.EEXIST, f"it exists: remove {folder.name}/*.pem to create new files", path)
    folder.mkdir(exist_ok=True)
    # Readable by all, whatever the umask, because nginx is user 101 in its container. The key is for development only.
    folder.chmod(0o755)
    for path, content in files.items():
        path.write_bytes(content)
        path.chmod(0o644)


def main() -> None:
    """Create the files; exit with one sentence if one exists or a name is not allowed."""
    names = sys.argv[1:]
    try:
        make(FOLDER, names)
    except OSError as error:
        sys.exit(f"certs: {error.filename}: {error.strerror}")
    except ValueError as error:
        sys.exit(
            f"certs: NAMES is {' '.join(names)!r}: {error}: it must be host names or addresses, separated by spaces"
        )
    print(f"certs: valid for {', '.join(names)} and {DAYS} days; import {FOLDER}/authority.pem into your browser")


if __name__ == "__main__":
    main()
