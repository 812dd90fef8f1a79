"""recipes/jinja_template.py: a page rendered with Jinja2."""

from recipes.jinja_template import application
from tests.wsgi import call


def test_page_extends_layout():
    answer = call(application)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>What you sent</title>" in answer.text
    assert "<h1>What you sent</h1>" in answer.text


def test_header_values_are_escaped():
    text = call(application, HTTP_X_NAME="<script>").text
    assert "<dt>X-Name</dt><dd>&lt;script&gt;</dd>" in text
    assert "<script>" not in text
