"""Every link, command and path that README.md and docs/ name exists."""

import re
import subprocess
from importlib.util import find_spec

import pytest

from tests.unit.documentation import PAGES, ROOT, anchors, table, without_code

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*#", MAKEFILE, re.MULTILINE))
HELP = set(re.findall(r"^([a-z-]+):.*## [A-Z]", MAKEFILE, re.MULTILINE))
FOLDERS = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
PATH = re.compile(rf"(?<![\w./<-])(?:{FOLDERS}|\.github|\.ci)/[\w./*-]*\w/?")
# Commands of this project write into these folders.
GENERATED = ("loadtest/report/", "deploy/tls/certs/", "deploy/tls/acme/", "deploy/hooks/", "deploy/known_hosts")
YOURS = "app/packages"  # docs/your-app.md: a folder of the reader
# A fork may delete these files of the demo by hand, instead of with `make without`.
DEMO = ("app/handlers/api.py", "app/handlers/pages.py", "app/static/root/", "tests/app/", "tests/app/stack/")
DELETED = tuple(path for path in DEMO if not (ROOT / path).exists())
# A reader of README.md writes these.
TUTORIAL = {"app/database/alembic.ini", "app/templates/team.html", "tests/app/unit/test_team.py"}


def parts(path):
    """Return the page in words that pytest can print."""
    return path.relative_to(ROOT).as_posix()


pages = pytest.mark.parametrize("page", PAGES, ids=parts)


@pages
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{parts(page)} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(found.read_text()), f"{parts(page)} links to {target}: no such heading"


@pages
def test_every_make_command_exists(page):
    named = set(re.findall(r"(?:`|\$ |=\S* )make ([a-z][a-z-]*)", page.read_text()))
    assert named <= TARGETS, f"{parts(page)} names make commands that do not exist: {named - TARGETS}"


@pages
def test_every_variable_of_a_make_command_is_read(page):
    text = page.read_text().partition("<!-- table: renamed -->")[0]
    code = re.findall(r"`[^`\n]+`|^\$ .+$", text, re.MULTILINE)
    commands = [each for each in code if re.search(r"\bmake [a-z]", each)]
    named = {name for each in commands for name in re.findall(r"\b([A-Z][A-Z_]+)=", each.partition("#")[0])}
    known = MAKEFILE + (ROOT / ".env.example").read_text()
    for name in named:
        assert re.search(rf"\b{name}\b", known) or name == "DRILLS", f"{parts(page)}: nothing reads {name}"


@pages
def test_every_path_exists(page):
    text = page.read_text().partition("<!-- table: renamed -->")[0]
    for path in sorted(set(PATH.findall(text)) - TUTORIAL):
        assert path.startswith((*GENERATED, *DELETED, YOURS)) or any(ROOT.glob(path.rstrip("/"))), (
            f"{parts(page)} names {path}, which does not exist"
        )


def test_every_renamed_file_has_its_new_name():
    for old, new in table("renamed").items():
        old_path, new_path = (re.sub(r"^-f ", "", name.strip("`")) for name in (old, new))
        assert not (ROOT / old_path).exists(), f"{old_path} still exists"
        assert (ROOT / new_path).exists(), f"{new_path} does not exist"


def test_every_replacement_of_a_module_can_be_run():
    for old, new in table("commands").items():
        if module := re.search(r"python -m ([\w.]+)", new):
            assert find_spec(module[1]), f"{new} does not exist"
            assert not find_spec(old.strip("`").split()[-1]), f"{old} still exists"


def test_help_is_short_and_has_every_command():
    assert len(HELP) <= 25
    shown = subprocess.run(["make", "help"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", shown, re.MULTILINE)) == HELP


def test_a_readme_that_lists_the_commands_lists_all_of_them():
    for page in PAGES:
        _, mark, rest = page.read_text().partition("## All commands\n")
        if mark:
            listed = set(re.findall(r"`make ([a-z-]+)`", rest.partition("\n## ")[0]))
            assert HELP <= listed <= TARGETS
