"""Request ids: when the given id is kept and when a new one is made."""

import pytest

from app.middleware.request_id import request_id
from tests.wsgi import call


def echo_id(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["HTTP_X_REQUEST_ID"].encode()]


@pytest.mark.parametrize("sent", ["0123abc", "0123-abc", "x" * 128])
def test_valid_request_id_is_kept(sent):
    answer = call(request_id(echo_id), HTTP_X_REQUEST_ID=sent)
    assert (answer.text, answer.headers.items()[-1]) == (sent, ("X-Request-ID", sent))


@pytest.mark.parametrize("sent", [None, "", "a b", "a\tb", "<script>", "x" * 129, "ü", "-"])
def test_missing_or_invalid_request_id_is_replaced(sent):
    environ = {} if sent is None else {"HTTP_X_REQUEST_ID": sent}
    first, second = (call(request_id(echo_id), **environ).headers["X-Request-ID"] for _ in range(2))
    assert len(first) == len(second) == 32
    assert first != second != sent
