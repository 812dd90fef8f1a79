"""The structure that DESIGN rests on: imports in app/ run one way, and one module reads the environment."""

import ast
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"

# Each may import from those after it, and from nothing before it or beside it.
LAYERS = [
    ["__main__"],
    ["wsgi"],
    ["handlers", "middleware", "router"],
    ["methods"],
    ["response"],
    ["page", "request"],
    ["assets"],
    ["log"],
    ["body", "deferred", "headers", "settings", "urls"],
    ["variables"],
]
MODULES = sorted(path for path in APP.rglob("*.py") if path.name != "__init__.py")


def layer(name):
    """Return the number of the layer that a module of app/ is in, by the first part of its dotted name."""
    return next(number for number, names in enumerate(LAYERS) if name.split(".")[0] in names)


def imports(path):
    """Return the dotted names that the file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(APP)))
def test_imports_run_downward(path):
    own = ".".join(path.relative_to(APP).with_suffix("").parts)
    for name in imports(path):
        package, _, module = name.partition(".")
        assert package not in {"deploy", "loadtest", "tests"}
        if package == "app":
            assert layer(module) > layer(own), f"{own} imports {module}"


def test_only_settings_reads_the_environment():
    readers = [path.name for path in MODULES if "os.environ" in path.read_text() or "getenv" in path.read_text()]
    assert readers == ["settings.py"]
