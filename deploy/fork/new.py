"""`make new NAME=shortener`: make the clone a project of its own name, without the template's history.

    python -m deploy.fork.new [NAME] [TITLE] [HOLDER]

It replaces the template's name in all files, and removes the part "template": this file, its tests, its papers.
The new commit has all that `make update` needs to rename a later version in the same way.
"""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from deploy.fork.without import ROOT, git, read, refuse_changes, remove, tracked

NAME = "wsgi-starter"
TITLE = "Plain WSGI"
RULE = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"  # a name for Python's packages and for Docker's images
TEXT = r"[^<>&\"'{}\\\n]*"  # for HTML and JSON


def rename(root: Path, name: str, title: str, holder: str) -> None:
    """Replace the template's name, its title and the holder of its licence in all files; remove what only it needs."""
    for path in tracked(root):
        text = read(path)
        if path.name == "LICENSE":
            text = re.sub(r"(?m)^(Copyright \(c\)) .*", rf"\1 {datetime.now(UTC).year} {holder}", text)
        for old, new in ((NAME, name), (TITLE, title), (TITLE.lower(), title.lower())):
            text = text.replace(old, new)
        if path.name == "pyproject.toml":
            text = re.sub(r'(?m)^version = ".+"', 'version = "0"', text)
        if text != read(path):
            path.write_text(text)
    remove("template", root)


def main() -> None:
    """Rename the project and commit; exit with one sentence if that is not possible."""
    name, title, holder = (sys.argv[1:] + [""] * 3)[:3]
    if not re.fullmatch(RULE, name):
        sys.exit(f"fork: NAME is {name!r}: it must be lower-case letters, digits and hyphens; nothing was changed")
    for variable, value in (("TITLE", title), ("HOLDER", holder)):
        if not re.fullmatch(TEXT, value):
            sys.exit(f"fork: {variable} is {value!r}: it must not contain <>&\"'{{}} or \\; nothing was changed")
    refuse_changes(ROOT)
    git(ROOT, "var", "GIT_COMMITTER_IDENT")
    head, tree = git(ROOT, "rev-parse", "HEAD", "HEAD^{tree}").split()
    # A repository with one commit is the user's, such as one from GitHub's "Use this template".
    is_clone = git(ROOT, "rev-list", "--count", "HEAD").strip() != "1" or (ROOT / ".git" / "shallow").exists()
    title, holder = title or name.replace("-", " ").capitalize(), holder or f"The {name} authors"
    rename(ROOT, name, title, holder)
    git(ROOT, "add", "--all")
    parents = [] if is_clone else ["-p", head]
    message = f"Start {name}\n\nTemplate: {tree}\nName: {name}\nTitle: {title}\nHolder: {holder}\n"
    commit = git(ROOT, "commit-tree", *parents, git(ROOT, "write-tree").strip(), input=message).strip()
    git(ROOT, "update-ref", "-m", f"make new NAME={name}", "HEAD", commit)
    if is_clone:
        for tag in git(ROOT, "tag", "--list").split():  # the template's versions
            git(ROOT, "tag", "--delete", tag)
    print(f"fork: this is {name} now, with one commit. `git remote set-url origin ...` names your repository.")


if __name__ == "__main__":
    main()
