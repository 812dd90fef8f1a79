"""Render the page of recipes/jinja_template.py with Pystache. Mustache templates contain no logic and cannot run code.

Use it to share templates with other languages (https://mustache.github.io/), or for templates that users write. Do not
use it if pages extend a layout or format values: Mustache has only partials and sections.

Run: `python -m recipes.pystache_template`. Needs: pystache, werkzeug (requirements/recipes.txt).
"""
# pyright: basic
# Pystache has no types.

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pystache
from werkzeug.datastructures import EnvironHeaders

from app.response import html
from recipes import serve, site

HEAD = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ title }}</title></head>
"""

PAGE = pystache.parse("""\
{{> head }}
<body>
<h1>{{ title }}</h1>
<dl>
{{# headers }}
  <dt>{{ name }}</dt><dd>{{ value }}</dd>
{{/ headers }}
</dl>
</body>
</html>
""")

renderer = pystache.Renderer(partials={"head": HEAD}, missing_tags="strict")


def headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page with the request's headers. Two braces escape a value, three do not."""
    values = [{"name": name, "value": value} for name, value in EnvironHeaders(environ)]
    return html(start_response, renderer.render(PAGE, title="What you sent", headers=values))


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/": {"GET": headers}})

if __name__ == "__main__":
    serve(application)
