"""The servers as the launcher starts them, without nginx. Their responses are in test_conformance.py."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.waiting import ROOT

BIN = f"{sys.prefix}/bin"


@pytest.mark.parametrize("backend", BACKENDS)
def test_sigterm_during_import_stops_server(backend, tmp_path):
    require("processes", backend)
    for folder in ("app", "deploy"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with (tmp_path / "app" / "wsgi.py").open("a") as module:
        module.write("import time\ntime.sleep(1)\n")
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "BACKEND": backend, "LISTEN": f"unix:{tmp_path}/sock"}
    command = [sys.executable, "-m", "deploy.server.launch"]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        spawned = {"gunicorn": "Booting worker", "uwsgi": "(master-start)"}[backend]
        assert any(spawned in line for line in server.stdout)
        time.sleep(0.5)  # half-way through the workers' import
        server.terminate()
        server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0
