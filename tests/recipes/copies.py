"""Copies of recipes in a project's app/, made as docs/development.md says."""

import re
from pathlib import Path

from tests.tree import ROOT

RECIPES = ROOT / "recipes"
END = re.compile(r"^# --- .* A copy ends here\. ---$", re.MULTILINE)
ELSEWHERE = ("__init__.py", "__pycache__", "epoll_worker.py", "password_costs.py")
COPIED = sorted(path for path in RECIPES.iterdir() if path.name not in ELSEWHERE)


def copy(name: str, root: Path) -> None:
    """Copy a recipe, a module or a package, to app/."""
    for path in [RECIPES / name] if (RECIPES / name).is_file() else (RECIPES / name).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "__main__.py":
            target = root / "app" / path.relative_to(RECIPES)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(copied(path.read_text()))


def copied(text: str) -> str:
    """Return the part of a recipe that belongs to the app, with imports from app/."""
    part = END.split(text)[0].rstrip() + "\n"
    return re.sub(r"^from recipes import .*\n", "", part, flags=re.MULTILINE).replace("recipes.", "app.")
