"""The certificate for development: its contents, its permissions, and the names it refuses."""

import os
import ssl
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from deploy.tls import certs

FILES = {"privkey.pem", "fullchain.pem", "authority.pem"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "certs"


def test_certificate_has_the_names_a_year_and_the_signature_of_its_authority(folder):
    certs.make(folder, ["localhost", "*.example.org", "::1"])
    certificate = x509.load_pem_x509_certificate((folder / "fullchain.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["::1"]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 365
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [*usage] == [ExtendedKeyUsageOID.SERVER_AUTH]
    builder = PolicyBuilder().store(Store([authority]))
    for subject in (x509.DNSName("localhost"), x509.DNSName("a.example.org"), x509.IPAddress(ip_address("::1"))):
        builder.build_server_verifier(subject).verify(certificate, [])
    # Raises an error if the key does not belong to the certificate.
    ssl.create_default_context().load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")


def test_files_are_readable_by_nginx_whatever_the_umask(folder):
    before = os.umask(0o077)
    try:
        certs.make(folder, ["localhost"])
    finally:
        os.umask(before)
    assert {path.name for path in folder.iterdir()} == FILES
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_written_if_one_of_the_files_exists(name, folder):
    folder.mkdir()
    (folder / name).write_text("an ACME client's")
    with pytest.raises(FileExistsError, match=r"remove certs/\*\.pem to create new files"):
        certs.make(folder, ["localhost"])
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "an ACME client's"


@pytest.mark.parametrize("name", ["no host", "-x", "a@example.org", "10.0.0.0/8", "http://x"])
def test_bad_name_is_refused_in_one_sentence(name, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "from deploy.tls.certs import *; FOLDER = Path(sys.argv.pop()); main()", name, tmp_path],
        cwd=Path(certs.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith(f"certs: NAMES is {name!r}: ")
    assert list(tmp_path.iterdir()) == []
