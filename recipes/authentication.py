"""Middleware for the Authorization header: Basic (RFC 7617) and Bearer (RFC 6750) authentication.

Use Basic for internal pages and Bearer for API clients, both only over HTTPS. For login forms and logout, see
recipes/sessions.py: browsers cannot log out of Basic authentication.

Run: `python -m recipes.authentication`. It prints two curl commands, one with a new password, one with a new token.
Needs: argon2-cffi, werkzeug (requirements/recipes.txt).
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.datastructures import Authorization

from app.response import error, json
from recipes import serve, site
from recipes.passwords import NotChecked, check, hasher

Middleware = Callable[[WSGIApplication], WSGIApplication]

# By user name. Read both from your secret store; store only the hashes.
PASSWORD_HASHES: dict[str, str] = {}  # hasher.hash(password)
TOKEN_HASHES: dict[str, bytes] = {}  # token_hash(token)


def basic(password_hashes: Mapping[str, str], realm: str) -> Middleware:
    """Return middleware that requires a password and sets REMOTE_USER to the user's name (RFC 3875, 4.1.11)."""
    challenge = ("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')  # RFC 7617, 2.1

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            given = Authorization.from_header(environ.get("HTTP_AUTHORIZATION"))
            if given and given.type == "basic":
                name, password = given.username or "", given.password or ""
                try:
                    # The check is slow on purpose and runs on each request, so Basic suits few users.
                    is_right = check(password, password_hashes.get(name), environ["REMOTE_ADDR"])
                except NotChecked as reason:
                    return error(environ, start_response, reason.status, headers=reason.headers)
                if is_right:
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


# --- The recipe as a site of its own. A copy ends here. ---

# Middleware can wrap the whole site, one route ("/") or all routes below a path ("/api/*").
application = site(
    {
        "/": {"GET": basic(PASSWORD_HASHES, "recipes")(who)},
        "/api/*": bearer(TOKEN_HASHES, "recipes")(site({"/who": {"GET": who}})),
    }
)

if __name__ == "__main__":
    password, token = secrets.token_urlsafe(), secrets.token_urlsafe()
    PASSWORD_HASHES["ada"], TOKEN_HASHES["ada"] = hasher.hash(password), token_hash(token)
    serve(
        application,
        f"curl --user ada:{password} http://localhost:8000/",
        f"curl --oauth2-bearer {token} http://localhost:8000/api/who",
    )
