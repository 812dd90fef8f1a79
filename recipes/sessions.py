"""Sessions in a signed cookie: login, logout, and forms that no other site can send in a user's name.

When: people log in with a form, and the app remembers little of each: the cookie holds all of it, less than 4 kB, and
its reader can read it, though not change it. Not when: a program logs in (recipes/authentication.py); or a session must
end before MAX_AGE wherever a copy of its cookie is: then keep a row for each in the database, and only its id here.

Run: `SECRET_KEY=$(openssl rand -hex 32) python -m recipes.sessions`, which makes a user and prints the password.
Needs: itsdangerous, werkzeug (requirements/recipes.txt).
"""

import copy
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import parse_form_data
from werkzeug.http import dump_cookie, parse_cookie
from werkzeug.security import check_password_hash, generate_password_hash

from app.headers import Headers, change_headers
from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.page import environment
from app.response import error, html, whole
from app.router import router
from app.settings import settings
from app.variables import SettingError
from app.wsgi import chain
from recipes import serve

MAX_AGE = 14 * 24 * 3600  # seconds since the session last changed

PASSWORD_HASHES: dict[str, str] = {}  # generate_password_hash(password), by name; a fork has them in its database
# Checked for a name that does not exist, which then takes as long to refuse as one that does.
NOBODY = generate_password_hash(secrets.token_urlsafe())

PAGE = environment.from_string("""\
<!doctype html>
<html lang="en">
<title>Sessions</title>
<h1>Hello, {{ user or "stranger" }}</h1>
<form method="post" action="{{ '/logout' if user else '/login' }}">
  <input type="hidden" name="csrf" value="{{ csrf }}">
{% if not user %}
  <label>Name <input name="name" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
{% endif %}
  <button>{{ "Log out" if user else "Log in" }}</button>
</form>
""")


def secret_key(environ: Mapping[str, str]) -> str:
    """Return SECRET_KEY, the same for all workers and instances; raise SettingError for one that can be guessed."""
    key = environ.get("SECRET_KEY", "")
    if len(key) < 32:  # noqa: PLR2004
        raise SettingError("SECRET_KEY is unset or too short: it must be a secret of 32 characters or more")
    return key


def sessions(key: str) -> Callable[[WSGIApplication], WSGIApplication]:
    """Return the middleware that keeps environ["app.session"], a dict of what JSON can say, in a cookie (RFC 6265)."""
    serializer = URLSafeTimedSerializer(key, salt="session")

    def middleware(handler: WSGIApplication) -> WSGIApplication:
        def remembering(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            is_secure = environ["wsgi.url_scheme"] == "https"
            # The prefix keeps another host of the domain, and anyone on http, from setting it (RFC 6265bis, 4.1.3.2).
            name = "__Host-session" if is_secure else "session"
            try:
                before = serializer.loads(parse_cookie(environ).get(name, ""), max_age=MAX_AGE)
            except BadData:  # none, not ours, or too old
                before = {}
            session = environ["app.session"] = copy.deepcopy(before)

            def remember(headers: Headers) -> Headers:
                headers = [*headers, ("Cache-Control", "no-store")]  # it is one user's (RFC 9111, 5.2.2.5)
                if session != before:
                    value, max_age = (serializer.dumps(session), MAX_AGE) if session else ("", 0)
                    cookie = dump_cookie(name, value, max_age, secure=is_secure, httponly=True, samesite="Lax")
                    headers.append(("Set-Cookie", cookie))
                return headers

            return handler(environ, change_headers(start_response, remember))

        return remembering

    return middleware


def own_form(handler: WSGIApplication) -> WSGIApplication:
    """Refuse a form that another site made the browser send; put the fields of one of ours into environ["app.form"]."""

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            _, form, _ = parse_form_data(environ, max_content_length=settings().max_body_bytes)
        except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
            return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
        token = environ["app.session"].get("csrf", "")
        is_ours = token and hmac.compare_digest(form.get("csrf", "").encode(), token.encode())
        # Not every browser says where a form was (Fetch Metadata, Sec-Fetch-Site), so the token comes first.
        if not is_ours or environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return error(environ, start_response, HTTPStatus.FORBIDDEN, "Load the page again, and send its form.")
        environ["app.form"] = form
        return handler(environ, start_response)

    return checked


def home(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a page that knows its reader, and the form to log in or out."""
    session = environ["app.session"]
    csrf = session.setdefault("csrf", secrets.token_urlsafe())
    return html(start_response, PAGE.render(user=session.get("user"), csrf=csrf))


def login(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Begin a session anew for who knows the password; 403 for who does not."""
    form, session = environ["app.form"], environ["app.session"]
    name = form.get("name", "")
    if not check_password_hash(PASSWORD_HASHES.get(name, NOBODY), form.get("password", "")):
        return error(environ, start_response, HTTPStatus.FORBIDDEN, "There is no such name with this password.")
    session.clear()
    session["user"] = name
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


def logout(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Forget the session, and have the browser forget it."""
    environ["app.session"].clear()
    return whole(start_response, b"", "text/plain", HTTPStatus.SEE_OTHER, [("Location", "/")])


application = chain(
    [head, request_id, errors, sessions(secret_key(os.environ))],
    router({"/": {"GET": home}, "/login": {"POST": own_form(login)}, "/logout": {"POST": own_form(logout)}}),
)

if __name__ == "__main__":
    password = secrets.token_urlsafe()
    PASSWORD_HASHES["ada"] = generate_password_hash(password)
    print(f"log in as ada, password {password}")
    serve(application)
