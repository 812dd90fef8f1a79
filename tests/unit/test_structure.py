"""The structure of the tree: the direction of imports, and no environment read at import."""

import ast
import subprocess
import sys

import pytest

from tests.tree import ROOT

# A package may import from itself and from these.
MAY_IMPORT = {
    "app": [],
    "deploy.docker": [],
    "deploy.fork": [],
    "deploy.monitoring": ["deploy.docker", "app.log_line"],  # only with monitoring
    "deploy.postgres": ["deploy.docker"],
    "deploy.tls": [],
    "deploy.release": ["deploy.docker", "app.variables"],
    "deploy.server": ["app"],
    "deploy.local": ["deploy.server", "app"],
    "deploy.doctor": ["deploy.swarm", "deploy.release", "deploy.docker", "deploy.server", "app"],
    "deploy.swarm": ["deploy.release", "deploy.docker", "deploy.server", "app"],
    "loadtest": ["deploy.server.sizing"],
    "recipes": ["app"],
}
# begin monitoring
MAY_IMPORT["deploy.docker"].append("deploy.monitoring.lines")
MAY_IMPORT["deploy.release"] += ["deploy.monitoring.event", "deploy.monitoring.kept"]
# end monitoring
# A module of app/ may import only from the lines below its own. So handlers and middleware never import each other.
LAYERS = [
    ["__main__"],
    ["wsgi"],
    ["handlers", "middleware", "router"],
    ["methods"],
    ["response"],
    ["page", "request"],
    ["assets"],
    ["log"],
    ["log_format"],  # only with monitoring
    ["body", "deferred", "headers", "settings", "urls"],
    ["log_line", "variables"],
]
PROJECT = ("app.", "bench.", "deploy.", "loadtest.", "recipes.", "tests.")
ENTRY_POINTS = {
    "deploy.server.wsgi",
    "deploy.server.surroundings",
    "deploy.local.dev_app",
}  # a server imports them, and their settings are set by then
# Imports its arguments, and prints the places in app/ and deploy/ that read the environment meanwhile.
IMPORT = """
import importlib, os, sys

def reported(read):
    def report(environ, *arguments):
        frame = sys._getframe(1)
        while frame and "importlib" not in frame.f_code.co_filename:
            path = os.path.relpath(frame.f_code.co_filename)
            if path.startswith(("app/", "deploy/")):
                print(f"{module}: {path}, line {frame.f_lineno}")
                break
            frame = frame.f_back
        return read(environ, *arguments)
    return report

for name in ("__getitem__", "__iter__"):
    setattr(os._Environ, name, reported(getattr(os._Environ, name)))
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def name(path):
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def is_in(module, package):
    return f"{module}.".startswith(f"{package}.")


MODULES = {
    name(path): path
    for folder in ("app", "deploy", "loadtest", "recipes")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in ("__init__.py", "gunicorn.conf.py")
}


def imports(path):
    """Yield the dotted names in the project that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not getattr(node, "level", 0), f"{path}, line {node.lineno}: write the whole name of the module"
            package = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from (f"{package}{each.name}" for each in node.names if f"{package}{each.name}".startswith(PROJECT))


def layer(module):
    """Return the number of the layer of a module in app/. The fork's own are below the handlers, above the response."""
    own = next(number for number, names in enumerate(LAYERS) if "handlers" in names) + 0.5
    return next((number for number, names in enumerate(LAYERS) if module.split(".")[1] in names), own)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downward(module):
    [package] = [each for each in MAY_IMPORT if is_in(module, each)]
    for imported in imports(MODULES[module]):
        assert any(is_in(imported, each) for each in (package, *MAY_IMPORT[package])), f"{module} imports {imported}"
        if package == "app":
            both_own = layer(imported) == layer(module) and layer(module) % 1
            assert layer(imported) > layer(module) or both_own, f"{module} imports {imported}"


def test_only_settings_reads_the_environment_of_the_app():
    texts = {module: path.read_text() for module, path in MODULES.items() if is_in(module, "app")}
    assert [module for module, text in texts.items() if "os.environ" in text or "getenv" in text] == ["app.settings"]


def test_no_module_reads_the_environment_at_import():
    # A file outside of a package, such as Alembic's env.py, is no module.
    packaged = [each for each, path in MODULES.items() if (path.parent / "__init__.py").exists()]
    modules = [each for each in packaged if each.startswith(("app.", "deploy.")) and each not in ENTRY_POINTS]
    ended = subprocess.run(
        [sys.executable, "-c", IMPORT, *modules], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.returncode) == ("", 0), ended.stderr
