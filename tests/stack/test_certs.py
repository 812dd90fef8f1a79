"""The certificate of `make certs`, behind which the tests with TLS run."""

import re
import subprocess
import sys

import pytest

from tests.stack.edge import edge


@pytest.mark.nightly
@pytest.mark.kind("processes")
@pytest.mark.backend("gunicorn")
def test_sslyze_validates_the_path_and_confirms_the_intermediate_profile(stack):
    with edge(stack, NGINX_TLS="on") as secure:
        sslyze = [sys.executable, "-m", "sslyze", "--mozilla_config", "intermediate"]
        chain = ["--certinfo_ca_file", str(secure.folder / "authority.pem")]
        command = [*sslyze, *chain, f"localhost:{secure.tls_port}{{127.0.0.1}}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert re.search(r"Supplied CA file .*OK - Certificate is trusted", ended.stdout), ended.stdout
    assert f"localhost:{secure.tls_port}: OK - Compliant." in ended.stdout
