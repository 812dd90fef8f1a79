"""`make certs`: create a certificate for development, and the authority that signs it, in deploy/tls/certs/.

    python -m deploy.tls.certs localhost 127.0.0.1 ::1

To trust the certificate, import certs/authority.pem into the browser. The authority can sign no other certificate,
because its key is not stored. In production an ACME client writes the same two files: docs/tls.md.
"""

import errno
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

FOLDER = Path(__file__).parent / "certs"
DAYS = 365  # Mozilla's profile allows 366
HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


def make(folder: Path, names: list[str]) -> None:
    """Write privkey.pem, fullchain.pem and authority.pem; raise OSError, or ValueError for a bad host name."""
    alternatives = [alternative(name) for name in names]
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name, name = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
        for text in ("Authority of a development machine", "A development machine")
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    # Browsers and path validation require these extensions (RFC 5280, 4.2).
    authority = sign(authority_name, authority_name, authority_key, authority_key, [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage(signs_certificates=True), True),
    ])  # fmt: skip
    certificate = sign(name, authority_name, key, authority_key, [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(alternatives), False),
        (issuer, False),
    ])  # fmt: skip
    files = {
        folder / "privkey.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        folder / "fullchain.pem": certificate.public_bytes(Encoding.PEM),
        folder / "authority.pem": authority.public_bytes(Encoding.PEM),
    }
    for path in files:  # before writing any: nginx does not start with a key of another certificate
        if path.exists():
            raise FileExistsError(errno.EEXIST, f"it exists: remove {folder.name}/*.pem to create new files", path)
    folder.mkdir(exist_ok=True)
    # Readable by all with any umask, because nginx is user 101 in its container. The key is for development only.
    folder.chmod(0o755)
    for path, content in files.items():
        path.write_bytes(content)
        path.chmod(0o644)


def alternative(name: str) -> x509.GeneralName:
    """Return the address or host name for the certificate; raise ValueError for another text."""
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name))
    if not HOST.fullmatch(ascii_name := name.encode("idna").decode()):
        raise ValueError(f"{name!r} is not a host name")
    return x509.DNSName(ascii_name)


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the uses of the key: signing certificates, or signing the handshake."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """Return a certificate for the key, valid from now for DAYS; an extension is a pair with "is critical"."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(issuer_key, SHA256())


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
