"""recipes/pystache_template.py: a page rendered with Pystache."""

import pytest
from pystache.context import KeyNotFoundError

from recipes.pystache_template import PAGE, application, renderer
from tests.wsgi import call


def test_page_includes_partial():
    answer = call(application)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>What you sent</title>" in answer.text


def test_header_values_are_escaped():
    text = call(application, HTTP_X_NAME="<script>").text
    assert "<dt>X-Name</dt><dd>&lt;script&gt;</dd>" in text
    assert "<script>" not in text


def test_missing_value_raises_error():
    with pytest.raises(KeyNotFoundError, match="title"):
        renderer.render(PAGE)
