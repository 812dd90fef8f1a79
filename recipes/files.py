"""Files in and out: an upload of a form's (RFC 7578), a download that the server sends from the kernel where it can.

When: files come and go through the app, each as large as MAX_BODY_BYTES at most. Not when: they are the site's own,
which nginx serves (app/static), or large: let the browser send them to an object store, and nginx send them for you
(X-Accel-Redirect). Who may do either, recipes/sessions.py or recipes/authentication.py finds out.

Run: `python -m recipes.files`, then `curl -i -F file=@README.md localhost:8000/files`, and
`curl -OJ localhost:8000/files/README.md`. UPLOADS is the folder that keeps them.
Needs: werkzeug (requirements/recipes.txt).
"""

import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import parse_form_data
from werkzeug.utils import secure_filename, send_from_directory

from app.middleware.errors import errors
from app.middleware.head import head
from app.middleware.request_id import request_id
from app.request import media_type
from app.response import error, not_found, whole
from app.router import router
from app.settings import settings
from app.wsgi import chain
from recipes import serve

# A fork reads it in app/settings().py: a folder that every instance shares, and that outlives them.
UPLOADS = Path(os.environ.get("UPLOADS") or Path(tempfile.gettempdir(), "uploads"))


def upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Keep the form's `file` under its own name, made safe; 415, 413, 400 or 409 for one that cannot be kept so."""
    if media_type(environ) != "multipart/form-data":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send multipart/form-data.")
    try:
        _, _, files = parse_form_data(environ, max_content_length=settings().max_body_bytes)
    except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
    with ExitStack() as parts:
        for _, part in files.items(multi=True):  # noqa: PERF102 (values() would leave out the second of a name)
            parts.enter_context(closing(part))
        file = files.get("file")
        if not file or not (name := secure_filename(file.filename or "")):
            return error(environ, start_response, HTTPStatus.BAD_REQUEST, "Send a field `file` with a file name.")
        try:
            keep(file, name)
        except FileExistsError:
            return error(environ, start_response, HTTPStatus.CONFLICT, f"There is a file {name} already.")
    headers = [("Location", f"/files/{name}")]
    return whole(start_response, name.encode(), "text/plain; charset=utf-8", HTTPStatus.CREATED, headers)


def keep(file: FileStorage, name: str) -> None:
    """Write the file into UPLOADS; raise FileExistsError where there is one of that name."""
    UPLOADS.mkdir(parents=True, exist_ok=True)
    # Linked when it is complete: nobody downloads half a file, and of two of one name only the first is kept.
    with tempfile.NamedTemporaryFile(dir=UPLOADS, prefix=".") as part:
        file.save(part)
        part.flush()
        os.link(part.name, UPLOADS / name)


def download(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the file as an attachment (RFC 6266), or the part of it that is asked for (RFC 9110, 14).

    Never inline: a page that somebody uploaded would run its script as one of ours. Its body is wsgi.file_wrapper's
    (PEP 3333, Optional Platform-Specific File Handling), or Werkzeug's own where the server has none.
    """
    _, arguments = environ["wsgiorg.routing_args"]
    name = arguments["name"]
    if name != secure_filename(name):
        return not_found(environ, start_response)  # no upload has such a name: "..", ".part"
    try:
        response = send_from_directory(UPLOADS, name, environ, as_attachment=True)
    except HTTPException as reason:  # NotFound, RequestedRangeNotSatisfiable
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.NOT_FOUND))
    return response(environ, start_response)


application = chain(
    [head, request_id, errors], router({"/files": {"POST": upload}, "/files/{name}": {"GET": download}})
)

if __name__ == "__main__":
    serve(application)
