"""Applications and test suites that were not written for this project, on plain gunicorn and on both backends.

The packages are in requirements/thirdparty.txt. Each application moves in as docs/your-app.md says. A suite must have
the same results on the stack as on gunicorn alone, without nginx and the WSGI wrapper.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.moving import Move
from tests.stack.waiting import ROOT, free_port, until

PLAIN = "gunicorn alone"
LOCK = ROOT / "requirements" / "thirdparty.txt"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in `make test-all` only, one after the other."""
    for item in items:
        if "thirdparty" in item.path.parts:
            item.add_marker(pytest.mark.nightly)
            item.add_marker(pytest.mark.xdist_group("thirdparty"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packages, apart from the project's environment."""
    folder = tmp_path_factory.mktemp("packages")
    pip("install", "--no-deps", "--require-hashes", "--target", str(folder), "--requirement", str(LOCK))
    return folder


def pip(*arguments: str) -> None:
    """Run pip; skip the test if it fails, because the machine may have no network."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"third-party suites: pip fails: {ended.stderr.strip().splitlines()[-1]}")


@contextmanager
def served(backend: str, packages: Path, imports: str, methods: str = "") -> Iterator[str]:
    """Serve the application `site` of these imports, with further methods, and yield its address."""
    root = Path(tempfile.mkdtemp(prefix="thirdparty-"))
    root.chmod(0o755)
    if backend == PLAIN:
        yield from alone(root, packages, imports)
        return
    require("processes", backend)
    move = Move(root)
    (root / "app" / "packages").symlink_to(packages)
    path = 'import sys\nfrom pathlib import Path\nsys.path.append(str(Path(__file__).parent / "packages"))\n'
    move.replace_routes(path + imports, "site")
    if methods:
        move.edit("nginx/methods.conf", 'DELETE, OPTIONS"', f'DELETE, OPTIONS, {methods}"')
    with move.started("processes", backend, "thirdparty") as stack:
        yield stack.url


def alone(root: Path, packages: Path, imports: str) -> Iterator[str]:
    """Serve the application with gunicorn only."""
    (root / "alone.py").write_text(imports)
    (root / "data").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--threads=4", "alone:site"]
    environ = os.environ | {"PYTHONPATH": str(packages), "DATA_DIR": str(root / "data")}
    with subprocess.Popen(
        command, cwd=root, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            until(lambda: listens(port), "gunicorn listens", 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def listens(port: int) -> bool:
    """Return whether a server answers at the port."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/")
    except httpx.TransportError:
        return False
    return True


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Return each backend."""
    name: str = request.param
    return name
