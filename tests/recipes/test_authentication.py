"""Basic and Bearer authentication."""

import json
from base64 import b64encode

import pytest
from werkzeug.security import generate_password_hash

from recipes.authentication import PASSWORD_HASHES, TOKEN_HASHES, application, token_hash
from tests.wsgi import call


@pytest.fixture(autouse=True)
def ada(monkeypatch):
    monkeypatch.setitem(PASSWORD_HASHES, "ada", generate_password_hash("love:läce", "pbkdf2:sha256:1"))
    monkeypatch.setitem(TOKEN_HASHES, "ada", token_hash("the-token"))


def basic(credentials):
    return "Basic " + b64encode(credentials.encode()).decode()


@pytest.mark.parametrize("scheme", ["Basic", "bAsIc"])
def test_a_password_lets_in(scheme):
    answer = call(application, "/", HTTP_AUTHORIZATION=basic("ada:love:läce").replace("Basic", scheme))
    assert json.loads(answer.body) == {"name": "ada", "by": "Basic"}


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", basic("ada"), basic("ada:"), basic("ada:byron"), basic("bob:x"), basic(":")]
)
def test_without_the_password_it_is_401_and_says_which_scheme_it_wants(header):
    answer = call(application, "/", HTTP_AUTHORIZATION=header)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="recipes", charset="UTF-8"')


def test_a_token_lets_in():
    answer = call(application, "/api/who", HTTP_AUTHORIZATION="Bearer the-token")
    assert json.loads(answer.body) == {"name": "ada", "by": "Bearer"}


@pytest.mark.parametrize("header", ["", basic("ada:love:läce")])
def test_without_a_token_it_is_401_and_names_no_error(header):
    answer = call(application, "/api/who", HTTP_AUTHORIZATION=header)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="recipes"')


@pytest.mark.parametrize("token", ["", "another", "the-token=", "name=value", "\xff"])
def test_with_another_token_it_is_401_and_says_so(token):
    answer = call(application, "/api/who", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="recipes", error="invalid_token"'


def test_what_is_not_there_is_only_told_to_who_may_know():
    assert call(application, "/api/missing").status == 401
    assert call(application, "/api/missing", HTTP_AUTHORIZATION="Bearer the-token").status == 404
