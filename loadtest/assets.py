"""The files that a browser loads for a page: stylesheets, icons, scripts and images."""

from html.parser import HTMLParser

ATTRIBUTES = {"link": "href", "script": "src", "img": "src"}
LINKS = {"stylesheet", "icon", "manifest", "preload", "modulepreload"}


class Assets(HTMLParser):
    """Collects the paths of this site's files that a browser loads for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the path of a file; ignore links and other sites."""
        values = dict(attrs)
        path = values.get(ATTRIBUTES.get(tag, "")) or ""
        is_loaded = tag != "link" or LINKS & {*(values.get("rel") or "").split()}
        if is_loaded and path.startswith("/") and not path.startswith("//"):
            self.paths.append(path)


def assets(page: str) -> list[str]:
    """Return the paths that a browser loads for the page."""
    parser = Assets()
    parser.feed(page)
    return parser.paths
