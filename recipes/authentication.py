"""Middleware for the Authorization header: Basic (RFC 7617) and Bearer (RFC 6750) authentication.

Use Basic for internal pages and Bearer for API clients, both only over HTTPS. For login forms and logout, see
recipes/sessions.py: browsers cannot log out of Basic authentication.

Run: `python -m recipes.authentication`. It prints two curl commands, one with a new password, one with a new token.
Needs: werkzeug (requirements/recipes.txt).
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash, generate_password_hash

from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.response import error, json
from app.router import router
from app.wsgi import chain
from recipes import serve

Middleware = Callable[[WSGIApplication], WSGIApplication]

# By user name. Read both from your secret store; store only the hashes.
PASSWORD_HASHES: dict[str, str] = {}  # generate_password_hash(password)
TOKEN_HASHES: dict[str, bytes] = {}  # token_hash(token)

# Checked for unknown names, so that the response time does not reveal which names exist.
DUMMY_HASH = generate_password_hash(secrets.token_urlsafe())


def basic(password_hashes: Mapping[str, str], realm: str) -> Middleware:
    """Return middleware that requires a password and sets REMOTE_USER to the user's name (RFC 3875, 4.1.11)."""
    challenge = ("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')  # RFC 7617, 2.1

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            given = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
            if given and given.type == "basic":
                name, password = given.username or "", given.password or ""
                # This hash is slow on purpose and runs on each request, so Basic suits few users.
                if check_password_hash(password_hashes.get(name, DUMMY_HASH), password):
                    environ.update(AUTH_TYPE="Basic", REMOTE_USER=name)
                    return handler(environ, start_response)
            return error(environ, start_response, HTTPStatus.UNAUTHORIZED, headers=[challenge])

        return guarded

    return middleware


def bearer(token_hashes: Mapping[str, bytes], realm: str) -> Middleware:
    """Return middleware that requires a token and sets REMOTE_USER to the token's owner (RFC 3875, 4.1.11)."""

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            challenge = f'Bearer realm="{realm}"'
            given = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
            if given and given.type == "bearer":
                hashed = token_hash(given.token or "")
                owners = [owner for owner, known in token_hashes.items() if hmac.compare_digest(known, hashed)]
                if owners:
                    environ.update(AUTH_TYPE="Bearer", REMOTE_USER=owners[0])
                    return handler(environ, start_response)
                challenge += ', error="invalid_token"'  # RFC 6750, 3.1: only if the request has a token
            headers = [("WWW-Authenticate", challenge)]
            return error(environ, start_response, HTTPStatus.UNAUTHORIZED, headers=headers)

        return guarded

    return middleware


def token_hash(token: str) -> bytes:
    """Return the token's SHA-256. A fast hash is enough: 32 random bytes cannot be guessed, unlike a password."""
    return hashlib.sha256(token.encode()).digest()


def who(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the user's name and the authentication scheme."""
    return json(start_response, {"name": environ["REMOTE_USER"], "by": environ["AUTH_TYPE"]})


# Middleware can wrap the whole site, one route ("/") or all routes below a path ("/api/*").
application = chain(
    [head, request_id, errors],
    router(
        {
            "/": {"GET": basic(PASSWORD_HASHES, "recipes")(who)},
            "/api/*": bearer(TOKEN_HASHES, "recipes")(router({"/who": {"GET": who}})),
        }
    ),
)

if __name__ == "__main__":
    password, token = secrets.token_urlsafe(), secrets.token_urlsafe()
    PASSWORD_HASHES["ada"], TOKEN_HASHES["ada"] = generate_password_hash(password), token_hash(token)
    print(f"curl --user ada:{password} http://localhost:8000/")
    print(f"curl --oauth2-bearer {token} http://localhost:8000/api/who")
    serve(application)
