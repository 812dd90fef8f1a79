"""recipes/authentication.py: Basic and Bearer authentication."""

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
def test_correct_password_is_accepted(scheme):
    answer = call(application, "/", HTTP_AUTHORIZATION=basic("ada:love:läce").replace("Basic", scheme))
    assert json.loads(answer.body) == {"name": "ada", "by": "Basic"}


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", basic("ada"), basic("ada:"), basic("ada:byron"), basic("bob:x"), basic(":")]
)
def test_missing_or_wrong_password_gets_401_with_scheme(header):
    answer = call(application, "/", HTTP_AUTHORIZATION=header)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="recipes", charset="UTF-8"')


def test_correct_token_is_accepted():
    answer = call(application, "/api/who", HTTP_AUTHORIZATION="Bearer the-token")
    assert json.loads(answer.body) == {"name": "ada", "by": "Bearer"}


@pytest.mark.parametrize("header", ["", basic("ada:love:läce")])
def test_missing_token_gets_401_without_error_code(header):
    answer = call(application, "/api/who", HTTP_AUTHORIZATION=header)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="recipes"')


@pytest.mark.parametrize("token", ["", "another", "the-token=", "name=value", "\xff"])
def test_wrong_token_gets_401_with_error_code(token):
    answer = call(application, "/api/who", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="recipes", error="invalid_token"'


def test_404_requires_authentication():
    assert call(application, "/api/missing").status == 401
    assert call(application, "/api/missing", HTTP_AUTHORIZATION="Bearer the-token").status == 404
