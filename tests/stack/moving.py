"""Moves an application into a copy of the project, as docs/your-app.md says, and starts it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack.compose import ComposeStack
from tests.stack.conftest import Stack
from tests.stack.local import LocalStack
from tests.stack.waiting import ROOT
from tests.tree import copy_reference

PAGE = (ROOT / "docs" / "your-app.md").read_text()


def block(after: str) -> str:
    """Return the first code block of docs/your-app.md after this text."""
    _, mark, rest = PAGE.partition(after)
    assert mark, f"docs/your-app.md does not say {after!r}"
    found = re.search(r"^```\w*\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


class Move:
    """A copy of the project, and the places in it that were touched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.touched: set[str] = set()
        copy_reference(root)
        (root / ".venv").symlink_to(sys.prefix)

    def write(self, path: str, text: str) -> None:
        """Write a file of the copy."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        self.touched.add(path)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the text, which must occur in the file."""
        text = (self.root / path).read_text()
        assert old in text, f"{path} has no {old!r}"
        self.write(path, text.replace(old, new, 1))

    def replace_routes(self, imports: str, target: str) -> None:
        """Replace ROUTES in app/wsgi.py as the page does for any application, with this target at "/*"."""
        lines, _, routes = block("## Any application, in four lines").partition("\n\n")
        table = re.compile(r"^ROUTES\b.*?^}\n", re.MULTILINE | re.DOTALL)
        text = table.sub(lambda _: routes.replace("httpbin", target), self.wsgi(), count=1)
        assert lines.startswith("from httpbin import")
        self.write(
            "app/wsgi.py", f"{text.partition('from app.')[0]}{imports}\nfrom app.{text.partition('from app.')[2]}"
        )

    def wsgi(self) -> str:
        """Return the text of app/wsgi.py."""
        return (self.root / "app" / "wsgi.py").read_text()

    def depend(self, *packages: str, backend: str) -> None:
        """Add the packages to the dependencies, and lock them for the image."""
        names = "".join(f', "{each}"' for each in packages)
        self.edit(
            "pyproject.toml", 'dependencies = ["jinja2", "werkzeug"', f'dependencies = ["jinja2", "werkzeug"{names}'
        )
        self.run("make", "--no-print-directory", "lock", f"GROUPS=static {backend}")

    def run(self, *command: str, **environ: str) -> str:
        """Run a command in the copy and return its output; fail the test if it fails."""
        ended = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    @contextmanager
    def started(self, kind: str, backend: str, name: str, **settings: str) -> Iterator[Stack]:
        """Start the stack on the copy, and stop it at the end."""
        stack: Stack
        if kind == ComposeStack.kind:
            stack = ComposeStack(backend, f"-{name}", "", ("docker-compose.yml",), self.root, **settings)
        else:
            stack = LocalStack(backend, root=self.root, WEB_CONCURRENCY="1", **settings)
        try:
            stack.up()
            yield stack
        finally:
            stack.down()

    def execute(self, stack: Stack, *command: str) -> None:
        """Run a command with the app's packages and data."""
        if isinstance(stack, ComposeStack):
            ended = stack.execute("app", *command)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        else:
            self.run(
                *command, **{**stack.environ, "DATA_DIR": "data", "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
            )
