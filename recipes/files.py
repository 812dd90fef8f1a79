"""File upload by form (RFC 7578), and download through wsgi.file_wrapper, which lets the server use sendfile.

Use it for users' files of at most MAX_BODY_BYTES. nginx serves the site's own files (app/static). For larger uploads,
let the browser send them to an object store. This recipe has no access control: combine it with recipes/sessions.py or
recipes/authentication.py.

Run: `python -m recipes.files`, then `curl -i -F file=@README.md localhost:8000/files`, and
`curl -OJ localhost:8000/files/README.md`. The files are in the folder UPLOADS.
Needs: werkzeug (requirements/recipes.txt).
"""

import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, closing
from http import HTTPStatus
from mimetypes import guess_type
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
from app.response import empty, error, not_found, whole
from app.router import router
from app.settings import settings
from app.wsgi import chain
from recipes import serve

# In your project, read it in app/settings.py, and use a persistent folder that all instances share.
UPLOADS = Path(os.environ.get("UPLOADS") or Path(tempfile.gettempdir(), "uploads"))


def upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Store the form's `file` under a safe form of its name; answer 400, 409, 413 or 415 if that fails."""
    if media_type(environ) != "multipart/form-data":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send multipart/form-data.")
    try:
        _, _, files = parse_form_data(environ, max_content_length=settings().max_body_bytes)
    except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
    with ExitStack() as parts:
        for _, part in files.items(multi=True):  # noqa: PERF102 (values() omits further files of the same name)
            parts.enter_context(closing(part))
        file = files.get("file")
        if not file or not (name := secure_filename(file.filename or "")):
            return error(environ, start_response, HTTPStatus.BAD_REQUEST, "Send a field `file` with a file name.")
        try:
            keep(file, name)
        except FileExistsError:
            return error(
                environ, start_response, HTTPStatus.CONFLICT, f"A file named {name} exists. Choose another name."
            )
    headers = [("Location", f"/files/{name}")]
    return whole(start_response, name.encode(), "text/plain; charset=utf-8", HTTPStatus.CREATED, headers)


def keep(file: FileStorage, name: str) -> None:
    """Write the file into UPLOADS; raise FileExistsError if the name is taken."""
    UPLOADS.mkdir(parents=True, exist_ok=True)
    # The link makes the complete file visible at once, and fails if the name is taken.
    with tempfile.NamedTemporaryFile(dir=UPLOADS, prefix=".") as part:
        file.save(part)
        part.flush()
        os.link(part.name, UPLOADS / name)


def download(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the file, or the requested range of it (RFC 9110, 14), as an attachment (RFC 6266).

    An attachment, because an uploaded HTML page shown inline could run scripts with this site's origin. The body is a
    wsgi.file_wrapper if the server has one (PEP 3333, Optional Platform-Specific File Handling), otherwise Werkzeug's.
    """
    _, arguments = environ["wsgiorg.routing_args"]
    name = arguments["name"]
    if name != secure_filename(name):
        return not_found(environ, start_response)  # no upload has this name, for example ".." or ".part"
    try:
        response = send_from_directory(UPLOADS, name, environ, as_attachment=True)
    except HTTPException as reason:  # NotFound, RequestedRangeNotSatisfiable
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.NOT_FOUND))
    return response(environ, start_response)


def download_by_nginx(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return a header that makes nginx send the file, so that no thread waits for a slow client.

    UPLOADS must be DATA_DIR, which nginx reads as private/ (docs/static-files.md).
    """
    _, arguments = environ["wsgiorg.routing_args"]
    name = arguments["name"]
    if name != secure_filename(name) or not (UPLOADS / name).is_file():
        return not_found(environ, start_response)
    media_type, _ = guess_type(name)
    headers = [
        ("Content-Type", media_type or "application/octet-stream"),
        ("Content-Disposition", f"attachment; filename={name}"),
        ("X-Accel-Redirect", f"/nginx-private/{name}"),
    ]
    return empty(start_response, HTTPStatus.OK, headers)


application = chain(
    [head, request_id, errors],
    router(
        {
            "/files": {"POST": upload},
            "/files/{name}": {"GET": download},
            "/large-files/{name}": {"GET": download_by_nginx},
        }
    ),
)

if __name__ == "__main__":
    serve(application)
