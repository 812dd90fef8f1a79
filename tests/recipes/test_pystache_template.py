"""recipes/pystache_template.py: a page rendered with Pystache."""

from html import escape

import pytest
from pystache.context import KeyNotFoundError

from recipes.pystache_template import PAGE, application, renderer
from tests.wsgi import call


def test_page_includes_partial():
    answer = call(application)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>What you sent</title>" in answer.text


def test_header_values_are_not_templates():
    for text in ("{{ 7 * 7 }}", "{% include 'headers.html' %}", "{{> head }}", "{{{ title }}}", "{{= <% %> =}}"):
        assert f"<dt>X-Name</dt><dd>{escape(text)}</dd>" in call(application, HTTP_X_NAME=text).text


@pytest.mark.parametrize("attack", ['"><script>', "' onload='x", "&lt;script>"])
def test_header_values_add_no_markup(attack):
    assert f"<dt>X-Name</dt><dd>{escape(attack)}</dd>" in call(application, HTTP_X_NAME=attack).text


def test_header_values_are_escaped():
    text = call(application, HTTP_X_NAME="<script>").text
    assert "<dt>X-Name</dt><dd>&lt;script&gt;</dd>" in text
    assert "<script>" not in text


def test_missing_value_raises_error():
    with pytest.raises(KeyNotFoundError, match="title"):
        renderer.render(PAGE)
