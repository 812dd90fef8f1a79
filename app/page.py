"""HTML pages from Jinja2 templates. Values are escaped, and an undefined name is an error."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.assets import static
from app.settings import settings
from app.urls import url_for

TEMPLATES = Path(__file__).parent / "templates"

environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


@cache
def shared() -> dict[str, object]:
    """Return the values that every template can use."""
    return {"backend": settings().backend, "release": settings().release, "static": static, "url_for": url_for}


def render(template: str, **values: object) -> str:
    """Return the page rendered from `template` and `values`; raise jinja2.UndefinedError for a missing value."""
    return environment.get_template(template, globals=shared()).render(values)
