"""The page by Jinja2."""

from recipes.jinja_template import application
from tests.wsgi import call


def test_the_page_is_in_its_layout():
    answer = call(application)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>What you sent</title>" in answer.text
    assert "<h1>What you sent</h1>" in answer.text


def test_what_a_client_sends_is_escaped():
    text = call(application, HTTP_X_NAME="<script>").text
    assert "<dt>X-Name</dt><dd>&lt;script&gt;</dd>" in text
    assert "<script>" not in text
