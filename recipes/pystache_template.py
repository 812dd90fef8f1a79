"""The page of recipes/jinja_template.py by Pystache: Mustache, templates that hold no logic and can run no code.

When: templates are shared with another language (https://mustache.github.io/ has dozens), or come from people whom you
would not let run code. Not when: pages extend a layout or format their values; Mustache has partials and sections, and
everything else has to be in the values when it is called.

Run: `python -m recipes.pystache_template`. Needs: pystache, werkzeug (requirements/recipes.txt).
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pystache
from werkzeug.datastructures import EnvironHeaders

from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import html
from app.router import router
from app.wsgi import chain
from recipes import serve

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
    """Answer with the request's headers; two braces escape a value, three would not."""
    values = [{"name": name, "value": value} for name, value in EnvironHeaders(environ)]
    return html(start_response, renderer.render(PAGE, title="What you sent", headers=values))


application = chain([head, request_id, errors], router({"/": {"GET": headers}}))

if __name__ == "__main__":
    serve(application)
