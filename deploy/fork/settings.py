"""`make settings`: write the table in docs/settings.md and the settings of each container from .env.example.

    python -m deploy.fork.settings [check]     with `check`: write nothing, and fail if a file would change

A container gets the settings that its files read. So a line `environment: # make settings: app/ LOCUST_*` in a file of
Compose or Swarm is followed by the names in .env.example that occur in a file of the folder, or match the pattern.
Compose itself reads the names in `${...}`, and no container gets them.
"""

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ".env.example"
PAGE = "docs/settings.md"
MARK = "<!-- table: settings -->\n"
HEAD = "| Setting | Default | Meaning |\n| --- | --- | --- |\n"
HEADING = re.compile(r"# ---.*|# (?:begin|end) \w+")  # or the mark of an optional part (without.py)
LIST = re.compile(r"^( *)(environment:.*# make settings: (.+)\n)((?: +[A-Z_0-9]+:\n)*)", re.MULTILINE)


def settings(example: str) -> dict[str, tuple[str, str]]:
    """Return the default and the meaning of each setting; exit if one has no comment of its own."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in example.splitlines():
        if variable := re.fullmatch(r"#([A-Z_0-9]+)=(.*)", line):
            if not comment:
                sys.exit(f"settings: {variable[1]} in {EXAMPLE} has no comment: describe it in the line above")
            found[variable[1]] = variable[2], " ".join(comment)
            comment = []
        elif line.startswith("# ") and not HEADING.fullmatch(line):
            comment.append(line[2:])
        else:
            comment = []
    return found


def table(found: dict[str, tuple[str, str]]) -> str:
    """Return the settings as a table of Markdown."""
    rows = (
        f"| `{name}` | {f'`{default}`' if default else 'none'} | {meaning.replace('|', chr(92) + '|')} |\n"
        for name, (default, meaning) in found.items()
    )
    return HEAD + "".join(rows)


def passed_on(names: list[str], places: list[str], root: Path) -> list[str]:
    """Return the names that a file in a folder contains, or that match a pattern, but none that Compose reads."""
    folders = [root / place for place in places if place.endswith("/")]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in {".py", ".sh"}]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in files)))
    words |= {name for name in names for place in places if fnmatchcase(name, place)}
    return sorted(words & {*names} - interpolated(root))


def interpolated(root: Path) -> set[str]:
    """Return the names that Compose or Swarm reads itself."""
    return set(re.findall(r"\$\{([A-Z_0-9]+)", "".join(path.read_text() for path in compose_files(root))))


def compose_files(root: Path) -> list[Path]:
    """Return the files of Compose and Swarm."""
    return [root / "docker-compose.yml", *sorted((root / "deploy").glob("*/*.yml"))]


def written(root: Path) -> dict[Path, str]:
    """Return the files that follow from .env.example, with their text; exit if a mark is missing."""
    found = settings((root / EXAMPLE).read_text())
    texts: dict[Path, str] = {}
    page = root / PAGE
    if page.exists():  # a fork may have removed it
        before, mark, after = page.read_text().partition(MARK)
        if not mark:
            sys.exit(f"settings: {PAGE} has no line {MARK.strip()}")
        texts[page] = before + mark + table(found) + re.sub(r"\A(?:\|.*\n)+", "", after)

    read = set(interpolated(root))

    def listed(place: re.Match[str]) -> str:
        names = passed_on([*found], place[3].split(), root)
        read.update(names)
        return f"{place[1]}{place[2]}" + "".join(f"{place[1]}  {name}:\n" for name in names)

    for path in compose_files(root):
        texts[path] = LIST.sub(listed, path.read_text())
    if unread := sorted(found.keys() - read):
        sys.exit(f"settings: nothing reads {', '.join(unread)} of {EXAMPLE}: is the name the same in the code?")
    return texts


def write(root: Path) -> None:
    """Write the files that would change."""
    for path, text in written(root).items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"settings: wrote {path.relative_to(root)}")


def main() -> None:
    """Write the files, or with `check` exit with one sentence if one of them would change."""
    if sys.argv[1:] != ["check"]:
        write(ROOT)
        return
    for path, text in written(ROOT).items():
        if path.read_text() != text:
            sys.exit(f"settings: {path.relative_to(ROOT)} does not follow from {EXAMPLE}: run `make settings`")


if __name__ == "__main__":
    main()
