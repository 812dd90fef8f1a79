"""The demo's templates and static files."""

import re

from app import assets
from app.page import render
from tests.tree import ROOT


def test_page_links_style_and_script_with_digests():
    page = render("home.html", instance="", worker=0, request_id="", origin="", elapsed=str)
    names = {
        "style.css": "href",
        "app.js": "src",  # only with demo
    }
    for name, attribute in names.items():
        url, integrity = assets.static(name)
        assert f'{attribute}="{url}" integrity="{integrity}"' in page


def test_error_page_of_nginx_has_the_colours_of_the_app():
    page = (ROOT / "nginx/errors/error.html").read_text()
    for declaration in re.findall(r"--\w+: #\w+;", page):
        assert declaration in (ROOT / "app/static/style.css").read_text()
