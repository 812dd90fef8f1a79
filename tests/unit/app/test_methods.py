"""Dispatch by HTTP method: HEAD, OPTIONS and unsupported methods."""

import pytest

from app.methods import by_method
from app.middleware.head import head
from tests.unit.app.middleware.test_head import lazy, page
from tests.wsgi import call


def test_each_method_calls_its_handler():
    application = by_method({"GET": page, "POST": lazy})
    assert call(application).headers["Content-Length"] == "4"
    assert "Content-Length" not in call(application, method="POST").headers


def test_head_uses_get_handler():
    assert call(head(by_method({"GET": page})), method="HEAD").headers["Content-Length"] == "4"


def test_route_can_define_head_and_options():
    application = by_method({"GET": lazy, "HEAD": page, "OPTIONS": page})
    assert "Content-Length" in call(head(application), method="HEAD").headers
    assert call(application, method="OPTIONS").body == b"page"


def test_options_lists_methods():
    answer = call(by_method({"GET": page, "POST": page}), method="OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_unsupported_method_gets_405_and_lists_methods():
    answer = call(by_method({"POST": page}))
    assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")


def test_unknown_method_raises_value_error():
    with pytest.raises(ValueError, match="'get'"):
        by_method({"get": page})
