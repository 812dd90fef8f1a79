"""Query parameters in environ["app.query"]."""

import json

import pytest

from app.middleware.query_parameters import query_parameters
from app.response import json as answer_json
from tests.wsgi import call


def ask(query):
    """Return the response of a handler that echoes its query parameters."""

    def handler(environ, start_response):
        return answer_json(start_response, environ["app.query"])

    return call(query_parameters(handler), QUERY_STRING=query)


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {}),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        ("a=&b", {"a": [""], "b": [""]}),
        ("a=x+y%20z", {"a": ["x y z"]}),
        ("a=Zo%C3%AB", {"a": ["Zoë"]}),
        ("a=Zo\xc3\xab", {"a": ["Zoë"]}),
        ("a=%FF", {"a": ["\ufffd"]}),
        ("a=\xff", {"a": ["\ufffd"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("&&", {}),
    ],
)
def test_query_is_parsed_into_lists_by_name(query, parameters):
    assert json.loads(ask(query).body) == parameters


@pytest.mark.parametrize(("count", "status"), [(1000, 200), (1001, 400)])
def test_too_many_parameters_get_400(count, status):
    answer = ask("&".join(["a=1"] * count))
    assert answer.status == status
    assert ("More than 1000 query parameters." in answer.text) == (status == 400)
