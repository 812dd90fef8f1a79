"""`make certs`: a certificate for development, and the authority that has signed it, in certs/.

    python -m deploy.certs localhost 127.0.0.1 ::1

Import certs/authority.pem into the browser and it is trusted. The authority's own key is thrown away: what it has
signed here is all that it will ever sign. In production an ACME client writes the same two files; see the README.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

FOLDER = Path(__file__).parent.parent / "certs"
DAYS = 365  # as long as a browser and Mozilla's profile allow


def make(folder: Path, names: list[str]) -> None:
    """Write privkey.pem, fullchain.pem and authority.pem for these hosts; raise FileExistsError, ValueError."""
    authority = trustme.CA(organization_name="A development machine")
    now = datetime.now(UTC)
    certificate = authority.issue_cert(*names, not_before=now, not_after=now + timedelta(days=DAYS))
    folder.mkdir(exist_ok=True)
    for name, content in {
        "privkey.pem": certificate.private_key_pem.bytes(),
        "fullchain.pem": b"".join(blob.bytes() for blob in certificate.cert_chain_pems),
        "authority.pem": authority.cert_pem.bytes(),
    }.items():
        # For everybody to read: nginx is user 101 in its container, whoever you are. A key for development only.
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(content)


def main() -> None:
    """Make the files, and exit with one sentence where they are there already or a name cannot be."""
    names = sys.argv[1:]
    try:
        make(FOLDER, names)
    except FileExistsError as error:
        sys.exit(f"certs: {error.filename} is there already: remove {FOLDER.name}/*.pem to make others")
    except ValueError as error:
        sys.exit(f"certs: NAMES is {' '.join(names)!r}: {error}")
    print(f"certs: for {', '.join(names)}, {DAYS} days; import {FOLDER.name}/authority.pem into your browser")


if __name__ == "__main__":
    main()
