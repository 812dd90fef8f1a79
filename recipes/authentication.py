"""Authentication by the Authorization header, as middleware: Basic (RFC 7617), Bearer (RFC 6750).

When: Basic for a page of your own team's, Bearer for an API's clients; both only over https, where nobody reads along.
Not when: people log in with a form, and out again, which a browser cannot do with Basic; see recipes/sessions.py.

Run: `python -m recipes.authentication`, which makes a password and a token, and prints the two requests that use them.
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

# By name. A fork reads both from where it keeps secrets, and never keeps a password or a token itself.
PASSWORD_HASHES: dict[str, str] = {}  # generate_password_hash(password)
TOKEN_HASHES: dict[str, bytes] = {}  # token_hash(token)

# Checked for a name that does not exist, which then takes as long to refuse as one that does.
NOBODY = generate_password_hash(secrets.token_urlsafe())


def basic(password_hashes: Mapping[str, str], realm: str) -> Middleware:
    """Return the middleware that lets in who has a password, and puts the name into REMOTE_USER (RFC 3875, 4.1.11)."""
    challenge = ("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')  # RFC 7617, 2.1

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            given = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
            if given and given.type == "basic":
                name, password = given.username or "", given.password or ""
                # Slow on purpose, and done for each request: Basic is for few people.
                if check_password_hash(password_hashes.get(name, NOBODY), password):
                    environ.update(AUTH_TYPE="Basic", REMOTE_USER=name)
                    return handler(environ, start_response)
            return error(environ, start_response, HTTPStatus.UNAUTHORIZED, headers=[challenge])

        return guarded

    return middleware


def bearer(token_hashes: Mapping[str, bytes], realm: str) -> Middleware:
    """Return the middleware that lets in who has a token, and puts its owner into REMOTE_USER (RFC 3875, 4.1.11)."""

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
                challenge += ', error="invalid_token"'  # RFC 6750, 3.1: only for who has sent one
            headers = [("WWW-Authenticate", challenge)]
            return error(environ, start_response, HTTPStatus.UNAUTHORIZED, headers=headers)

        return guarded

    return middleware


def token_hash(token: str) -> bytes:
    """Return the token's SHA-256: fast, and enough for 32 random bytes, which nobody guesses as one does a password."""
    return hashlib.sha256(token.encode()).digest()


def who(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with who asks, and how that is known."""
    return json(start_response, {"name": environ["REMOTE_USER"], "by": environ["AUTH_TYPE"]})


# A middleware can be around the whole site, around one route, or, as the second here, around all below a path.
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
