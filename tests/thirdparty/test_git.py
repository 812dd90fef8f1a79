"""dulwich as the whole site serves git: clone, push, and clone again."""

import os
import shutil
import subprocess

import pytest

from deploy.server.launch import BACKENDS
from tests.thirdparty.conftest import PLAIN, served

IMPORTS = """import os
from pathlib import Path
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain
folder = Path(os.environ["DATA_DIR"], "repository.git")
folder.mkdir(parents=True, exist_ok=True)
repository = Repo(str(folder)) if (folder / "HEAD").exists() else Repo.init_bare(str(folder))
site = make_wsgi_chain(DictBackend({"/repository.git": repository}))
"""


@pytest.mark.parametrize("server", [PLAIN, *BACKENDS])
def test_git_clones_and_pushes(server, packages, tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    identity = {
        f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environ = os.environ | identity | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}

    def git(folder, *command):
        ended = subprocess.run(
            ["git", *command],
            cwd=tmp_path / folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, f"git {command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    with served(server, packages, IMPORTS) as url:
        address = f"{url}/repository.git"
        git(".", "init", "-q", "-b", "master", "work")
        for number, size in enumerate((1, 100_000, 900_000)):  # git sends the largest one in chunks
            (tmp_path / "work" / f"file{number}").write_bytes(os.urandom(size))
            (tmp_path / "work" / ".github").mkdir(exist_ok=True)
            (tmp_path / "work" / ".github" / "hidden").write_text(f"{number}")
            git("work", "add", "--all")
            git("work", "commit", "-q", "-m", f"commit {number}")
            git("work", "push", "-q", address, "master")
        git(".", "clone", "-q", "-b", "master", address, "copy")
        assert git("copy", "rev-parse", "HEAD") == git("work", "rev-parse", "HEAD")
        assert git(".", "ls-remote", address).count("refs/heads/master") == 1
        git("copy", "commit", "-q", "--allow-empty", "-m", "from the copy")
        git("copy", "push", "-q", address, "master")
        git("work", "pull", "-q", "--ff-only", address, "master")
        assert git("copy", "rev-parse", "HEAD") == git("work", "rev-parse", "HEAD")
