"""recipes/authentication.py: Basic and Bearer authentication."""

import json
from base64 import b64encode

import pytest

from recipes import authentication
from recipes.authentication import PASSWORD_HASHES, TOKEN_HASHES, application, token_hash
from recipes.passwords import ATTEMPTS
from tests.wsgi import call


@pytest.fixture(autouse=True)
def ada(cheap, monkeypatch):
    monkeypatch.setitem(PASSWORD_HASHES, "ada", cheap.hash("love:läce"))
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


def test_guesses_get_429_and_the_header_says_when_to_try_again():
    answers = [call(application, "/", HTTP_AUTHORIZATION=basic(f"bob:{number}")) for number in range(ATTEMPTS + 1)]
    assert [answer.status for answer in answers] == [401] * ATTEMPTS + [429]
    assert answers[-1].headers["Retry-After"] == "60"


def test_a_request_that_knows_no_credentials_costs_no_check():
    assert {call(application, "/").status for _ in range(ATTEMPTS + 1)} == {401}


def test_token_is_compared_in_constant_time_with_every_hash(monkeypatch):
    compared = []
    monkeypatch.setattr(authentication.hmac, "compare_digest", lambda *pair: compared.append(pair) or False)
    monkeypatch.setitem(TOKEN_HASHES, "bob", token_hash("another"))
    call(application, "/api/who", HTTP_AUTHORIZATION="Bearer the-token")
    assert len(compared) == 2


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: a=b", "<script>", "ada\0"])
def test_name_of_a_stranger_is_not_repeated(name):
    answer = call(application, "/", HTTP_AUTHORIZATION=basic(f"{name}:x"), HTTP_ACCEPT="text/html")
    assert answer.status == 401
    assert name not in answer.text
    assert "Set-Cookie" not in answer.headers
