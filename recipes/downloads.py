"""Downloads by signed links: the app checks the link, and nginx sends the file, with ranges (X-Accel-Redirect).

Use it for large or private files: no thread waits for a slow client, and an interrupted download continues where it
ended. A link is for one file, and for everybody who has it, until it expires. Give it only to users who may read the
file. The signature is in the query, because nginx does not log queries. For uploads, see recipes/files.py.

The files are in FOLDER below DATA_DIR, which nginx reads as private/ (docs/static-files.md). nginx's user must be able
to read them. nginx sends no symlink.

Run: `SECRET_KEY=$(openssl rand -hex 32) python -m recipes.downloads`. It prints a link. Without nginx, the response has
a header X-Accel-Redirect and no body.
Needs: itsdangerous, werkzeug (requirements/recipes.txt).
"""

import os
from collections.abc import Iterable
from http import HTTPStatus
from mimetypes import guess_type
from urllib.parse import parse_qs, quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.http import dump_options_header

from app.response import empty, error, not_found
from app.settings import settings
from app.variables import SettingError
from recipes import serve, site

FOLDER = "downloads"
LIFETIME = 3600  # seconds


def serializer(key: str) -> URLSafeTimedSerializer:
    """Return what signs and checks links; raise SettingError for a key that is too short.

    The salt keeps other signatures of the key from being links.
    """
    if len(key) < 32:  # noqa: PLR2004
        raise SettingError(f"SECRET_KEY has {len(key)} characters: it must be a secret of 32 characters or more")
    return URLSafeTimedSerializer(key, salt="download")


def link(key: str, name: str) -> str:
    """Return a link to the file of this name, which is valid for LIFETIME."""
    return f"/downloads/{quote(name, safe='')}?key={serializer(key).dumps(name)}"


def downloads(key: str) -> WSGIApplication:
    """Return the handler for links; it answers 403 to a link that is wrong or has expired, 404 to a missing file."""
    links = serializer(key)

    def download(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ["wsgiorg.routing_args"][1]["name"]
        try:
            [signed] = parse_qs(environ["QUERY_STRING"], max_num_fields=1)["key"]
            is_valid = links.loads(signed, max_age=LIFETIME) == name
        except (BadData, KeyError, ValueError):
            is_valid = False
        if not is_valid:
            return error(environ, start_response, HTTPStatus.FORBIDDEN, "This link is wrong, or it has expired.")
        if not os.path.isfile(settings().data_dir / FOLDER / name):  # noqa: PTH113 (raises nothing)
            return not_found(environ, start_response)
        # Both headers are ASCII, whatever the name is: nginx decodes the path, and browsers the name (RFC 8187).
        headers = [
            ("Content-Type", guess_type(name)[0] or "application/octet-stream"),
            ("Content-Disposition", dump_options_header("attachment", {"filename*": f"UTF-8''{quote(name, safe='')}"})),
            ("Cache-Control", "private"),
            ("X-Accel-Redirect", f"/nginx-private/{FOLDER}/{quote(name)}"),
        ]
        return empty(start_response, HTTPStatus.OK, headers)

    return download


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/downloads/{name}": {"GET": downloads(os.environ.get("SECRET_KEY", ""))}})

if __name__ == "__main__":
    (settings().data_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    (settings().data_dir / FOLDER / "hello.txt").write_text("Hello.\n")
    serve(application, f"curl -i 'http://localhost:8000{link(os.environ['SECRET_KEY'], 'hello.txt')}'")
