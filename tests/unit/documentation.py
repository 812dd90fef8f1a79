"""Reads the project's own pages: README.md and other pages beside it, and docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS]


def table(name: str) -> dict[str, str]:
    """Return the first two columns of the table below `<!-- table: NAME -->` in docs/, without the column headers.

    It is empty in a fork that has removed the page.
    """
    found = [
        rest for _, mark, rest in (each.read_text().partition(f"<!-- table: {name} -->\n") for each in DOCS) if mark
    ]
    if not found:
        return {}
    rows = re.match(r"(?:\|.*\n)+", re.sub(" <!--.*-->", "", found[0]))
    assert rows, f"no table follows <!-- table: {name} -->"
    return dict(re.findall(r"^\| (.+?) \| (.+?) \|", rows[0], re.MULTILINE)[2:])


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(page: str) -> str:
    """Return the page without its code blocks, in which neither links nor headings are links or headings."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
