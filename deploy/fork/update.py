"""`make update FROM=URL`: merge a later version of the template into this project.

    python -m deploy.fork.update URL [COMMIT]

A project with the template's history merges COMMIT as git does. A project from `make new` or from GitHub's "Use this
template" has a history of its own. For it, the version it came from and COMMIT are first changed as the project was:
they get its name, and lose the parts that it has removed. So only lines that both sides have changed conflict.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.fork.without import ROOT, git, refuse_changes

# Runs in the new version, whose parts and names may be others than this version's.
CHANGE = """
import sys
from pathlib import Path
from deploy.fork.without import PARTS, remove, settings
project, *names = sys.argv[1:]
if names:
    from deploy.fork.new import rename
    rename(Path(), *names)
for part, (*paths,) in PARTS.items():
    if part != "template" and not any(Path(project, path).exists() for path in paths):
        remove(part, Path())
settings.write(Path())
"""
TRAILERS = ("Name", "Title", "Holder")


def trailers(message: str) -> dict[str, str]:
    """Return the trailers of a commit of `make new` or of an earlier update."""
    pairs = (line.partition(": ") for line in message.splitlines())
    return {name: value for name, separator, value in pairs if separator and name in ("Template", *TRAILERS)}


def changed(commit: str, parent: str, names: list[str], message: str) -> str:
    """Return a commit with the tree of `commit`, changed as the project was."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "version")
        git(ROOT, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            subprocess.run([sys.executable, "-B", "-c", CHANGE, str(ROOT), *names], cwd=tree, check=True)
            git(tree, "add", "--all")
            return git(ROOT, "commit-tree", "-p", parent, git(tree, "write-tree").strip(), input=message).strip()
        finally:
            git(ROOT, "worktree", "remove", "--force", str(tree))


def followed(version: str) -> str:
    """Return a commit with the version, changed as the project was; its parent is the project's version before."""
    before = git(ROOT, "log", "--topo-order", "--grep=^Template: ", "--max-count=1", "--format=%H").strip()
    before = before or git(ROOT, "rev-list", "--max-parents=0", "HEAD").split()[0]
    known = trailers(git(ROOT, "show", "--no-patch", "--format=%B", before))
    lines = [f"{name}: {value}" for name, value in (known | {"Template": version}).items()]
    base = changed(
        before, before, [], "\n".join(["Remove the project's removed parts from the template", "", *lines, ""])
    )
    git(ROOT, "merge", "--quiet", "--strategy=ours", "--no-edit", base)  # the project has made these changes
    names = [known[name] for name in TRAILERS] if "Name" in known else []
    return changed(version, base, names, "\n".join([f"Follow the template's {version[:12]}", "", *lines, ""]))


def settle() -> list[str]:
    """Resolve the conflicts that need no decision, and return the files with the other ones.

    Locks become the template's: `make lock` adds the project's packages. A removed file stays removed.
    """
    left: list[str] = []
    for line in git(ROOT, "status", "--porcelain", "-z").split("\0"):
        state, name = line[:2], line[3:]
        if state in ("DU", "UD"):
            (git(ROOT, "rm", "--quiet", "--force", name) if state == "DU" else left.append(name))
        elif state in ("UU", "AA") and name.startswith("requirements/"):
            git(ROOT, "checkout", "--theirs", name)
            git(ROOT, "add", name)
        elif "U" in state or state == "AA":
            left.append(name)
    return left


def main() -> None:
    """Merge; exit with one sentence if that is not possible, and with 1 if conflicts are left."""
    source, *wanted = [each for each in sys.argv[1:] if each] or [""]
    if not source:
        sys.exit("fork: FROM is empty: it must be the template's address; nothing was changed")
    refuse_changes(ROOT)
    git(ROOT, "fetch", "--quiet", "--no-tags", source, *(wanted or ["HEAD"]))
    version = git(ROOT, "rev-parse", "FETCH_HEAD^{commit}").strip()
    shared = subprocess.run(["git", "merge-base", "HEAD", version], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    commit = version if shared.returncode == 0 else followed(version)
    subprocess.run(["git", "merge", "--quiet", "--no-edit", commit], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    merging = (ROOT / git(ROOT, "rev-parse", "--git-path", "MERGE_HEAD").strip()).exists()
    left = settle() if merging else []
    if left:
        sys.exit(f"fork: resolve the conflicts in {', '.join(left)}, then run `git commit` and `make lock`")
    if merging:
        git(ROOT, "commit", "--quiet", "--no-edit")
    print(f"fork: merged {version[:12]}: run `make lock`, `make lint` and `make test`")


if __name__ == "__main__":
    main()
