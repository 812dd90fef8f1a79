"""Render a page with Jinja2 templates that are separate from the site's: inheritance, a loop, autoescaping.

Use it if part of the site has its own templates or its own template loader. Otherwise use the environment in
app/page.py. Do not use it for templates that users write, because Jinja2 templates can run code: use jinja2.sandbox or
Mustache (recipes/pystache_template.py).

Run: `python -m recipes.jinja_template`. Needs: jinja2, werkzeug (requirements/recipes.txt).
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from jinja2 import DictLoader, Environment, StrictUndefined
from werkzeug.datastructures import EnvironHeaders

from app.response import html
from recipes import serve, site

LAYOUT = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{% block title %}{% endblock %}</title></head>
<body>
<h1>{{ self.title() }}</h1>
{% block main %}{% endblock %}
</body>
</html>
"""

PAGE = """\
{% extends "layout.html" %}
{% block title %}What you sent{% endblock %}
{% block main %}
<dl>
{% for name, value in headers %}
  <dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
</dl>
{% endblock %}
"""

templates = Environment(
    loader=DictLoader({"layout.html": LAYOUT, "headers.html": PAGE}),
    autoescape=True,  # Jinja2's default is off
    undefined=StrictUndefined,  # an undefined name is an error, not an empty string
    trim_blocks=True,
)


def headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a page with the request's headers, escaped."""
    page = templates.get_template("headers.html").render(headers=EnvironHeaders(environ))
    return html(start_response, page)


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/": {"GET": headers}})

if __name__ == "__main__":
    serve(application)
