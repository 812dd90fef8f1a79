"""A page by Jinja2, with templates of its own beside the site's: inheritance, a loop, autoescaping.

When: a page has logic, or a part of the site brings its own templates, from wherever a loader finds them. Not when:
app/page.py will do, for it has such an environment already; nor for templates that strangers write, who can run code in
them (jinja2.sandbox, or Mustache: recipes/pystache_template.py).

Run: `python -m recipes.jinja_template`. Needs: jinja2, werkzeug (requirements/recipes.txt).
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from jinja2 import DictLoader, Environment, StrictUndefined
from werkzeug.datastructures import EnvironHeaders

from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import html
from app.router import router
from app.wsgi import chain
from recipes import serve

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
    undefined=StrictUndefined,  # a name that is missing is an error, not an empty string
    trim_blocks=True,
)


def headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the request's headers, whatever a client has put into them."""
    page = templates.get_template("headers.html").render(headers=EnvironHeaders(environ))
    return html(start_response, page)


application = chain([head, request_id, errors], router({"/": {"GET": headers}}))

if __name__ == "__main__":
    serve(application)
