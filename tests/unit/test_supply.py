"""The commands of a release and of its packages: the digests of the base images, the notes, the workflows."""

import os
import re
import shutil
import subprocess

import pytest

from tests.unit.documentation import ROOT
from tests.unit.test_documentation import TARGETS

# In place of a registry's answer.
DOCKER = "#!/bin/sh\necho sha256:$DIGEST\n"


def make(folder, *arguments, **environ):
    return subprocess.run(
        ["make", "--file", ROOT / "Makefile", *arguments],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_base_images_are_pinned_and_pinned_again(tmp_path):
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    before = (tmp_path / "Dockerfile").read_text()
    for digest in ("1" * 64, "2" * 64):
        path = f"{tmp_path}:{os.environ['PATH']}"
        assert make(tmp_path, "pin", PATH=path, DIGEST=digest).returncode == 0
        pinned = (tmp_path / "Dockerfile").read_text()
        assert pinned.count(f"@sha256:{digest}\n") == 2
        assert re.sub("@sha256:[0-9]+", "", pinned) == re.sub("@sha256:[0-9a-f]+", "", before)


@pytest.mark.parametrize(
    ("printed", "is_audited"),
    [("ERROR:pip_audit._cli:Could not connect", False), ("Found 1 known vulnerability in 1 package", True)],
)
def test_audit_without_its_service_fails_with_the_remedy(printed, is_audited, tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/pip-audit").write_text('#!/bin/sh\necho "$PRINTED" >&2\nexit 1\n')
    (tmp_path / ".venv/bin/pip-audit").chmod(0o755)
    ended = make(tmp_path, "--old-file=.venv/audit", "audit-packages", PRINTED=printed)
    assert ended.returncode != 0
    assert printed in ended.stderr
    assert ("audit: the packages were not audited: run this again when" in ended.stderr) != is_audited


def test_notes_are_the_section_of_the_release(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## 1.1.0\n\nnew\n\n## 1.0.0\n\nold\n")
    assert make(tmp_path, "notes", RELEASE="v1.1.0").returncode == 0
    assert (tmp_path / ".local" / "notes.md").read_text().strip() == "new"
    assert "CHANGELOG.md has no section 1.2.0" in make(tmp_path, "notes", RELEASE="v1.2.0").stderr


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_commands_that_exist(path):
    text = path.read_text()
    named = {name for line in re.findall(r"run: make (.+)", text) for name in line.split() if name != '"$TARGET"'}
    named |= set(re.findall(r"target: ([a-z-]+)", text))
    for names in re.findall(r"target: \[(.+)\]", text):
        named |= set(names.split(", "))
    assert named
    assert named <= TARGETS
