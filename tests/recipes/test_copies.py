"""A copy of a recipe in app/ passes the linters, and keeps the structure of app/."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.copies import COPIED, copy
from tests.tree import ROOT

BIN = Path(sys.prefix) / "bin"
# What a module of app/ that is no handler and no middleware may not import (tests/unit/test_structure.py).
ABOVE = re.compile(r"^(?:from|import) (?:recipes|app\.(?:wsgi|handlers|middleware|router))\b.*", re.MULTILINE)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a project with a copy of every recipe, after `ruff check --fix`."""
    root = tmp_path_factory.mktemp("copies")
    shutil.copytree(ROOT / "app", root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for path in COPIED:
        copy(path.name, root)
    return root


def lint(root, command, *arguments):
    if not (BIN / command).exists():
        pytest.skip(f"{command} is not installed")
    ended = subprocess.run([BIN / command, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_copies_pass_ruff(root):
    lint(root, "ruff", "check", "--quiet", "--fix", "--no-cache", "app")
    lint(root, "ruff", "format", "--quiet", "--check", "--no-cache", "app")


@pytest.mark.nightly
def test_copies_pass_the_type_checkers(root):
    test_copies_pass_ruff(root)
    lint(root, "mypy", "app")
    lint(root, "basedpyright", "--pythonpath", sys.executable, "app")


def test_copies_import_from_below_only(root):
    copies = [path for each in COPIED for path in (root / "app" / each.name, *(root / "app" / each.name).rglob("*"))]
    texts = [path.read_text() for path in copies if path.suffix == ".py"]
    assert len(texts) > len(COPIED)
    assert [found[0] for text in texts for found in ABOVE.finditer(text)] == []
