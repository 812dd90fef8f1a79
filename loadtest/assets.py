"""What a browser loads of itself when it is given a page: its stylesheets, icons, scripts and images."""

from html.parser import HTMLParser

NAMED_BY = {"link": "href", "script": "src", "img": "src"}
LINKS = {"stylesheet", "icon", "manifest", "preload", "modulepreload"}


class Assets(HTMLParser):
    """Collects the paths that a browser loads of itself when it is given a page."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the stylesheets, icons, scripts and images of this site; not the links that a visitor follows."""
        values = dict(attrs)
        path = values.get(NAMED_BY.get(tag, "")) or ""
        is_loaded = tag != "link" or LINKS & {*(values.get("rel") or "").split()}
        if is_loaded and path.startswith("/") and not path.startswith("//"):
            self.paths.append(path)


def assets(page: str) -> list[str]:
    """Return the paths that the page names for a browser to load."""
    parser = Assets()
    parser.feed(page)
    return parser.paths
