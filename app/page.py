"""The HTML pages: Jinja2 templates, autoescaped, an unknown name in one an error."""

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


# What every template knows.
GLOBALS = {"backend": settings.backend, "release": settings.release, "static": static, "url_for": url_for}


def render(template: str, **values: object) -> str:
    """Return the page that `template` makes of `values`; raise jinja2.UndefinedError where one is missing."""
    return environment.get_template(template, globals=GLOBALS).render(values)
