"""File upload by form (RFC 7578), and download in ranges.

Use it for users' files of at most MAX_BODY_BYTES. nginx serves the site's own files (app/static). For larger uploads,
let the browser send them to an object store. For large or private downloads, see recipes/downloads.py. This recipe has
no access control: combine it with recipes/sessions.py or recipes/authentication.py.

Run: `python -m recipes.files`, then `curl -i -F file=@README.md localhost:8000/files`, and
`curl -OJ localhost:8000/files/README.md`. The files are in the folder `uploads` below DATA_DIR.
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

from app.request import media_type
from app.response import error, not_found, whole
from app.settings import settings
from recipes import serve, site

FORM_PARTS = 10  # each costs CPU time
FIELD_BYTES = 500_000  # in memory: a part that is no file
NAME_LENGTH = 255  # bytes: NAME_MAX of Linux's file systems (limits.h)


def upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Store the form's `file` under a safe form of its name; answer 400, 409, 413 or 415 if that fails."""
    if media_type(environ) != "multipart/form-data":
        return error(environ, start_response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send multipart/form-data.")
    try:
        _, _, files = parse_form_data(
            environ,
            max_form_memory_size=FIELD_BYTES,
            max_content_length=settings().max_body_bytes,
            max_form_parts=FORM_PARTS,
        )
    except HTTPException as reason:  # RequestEntityTooLarge, ClientDisconnected
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.BAD_REQUEST))
    with ExitStack() as parts:
        for _, part in files.items(multi=True):  # noqa: PERF102 (values() omits further files of the same name)
            parts.enter_context(closing(part))
        file = files.get("file")
        name = secure_filename(file.filename or "") if file else ""
        if not file or not is_name(name):
            return error(environ, start_response, HTTPStatus.BAD_REQUEST, "Send a field `file` with a file name.")
        try:
            keep(file, name)
        except FileExistsError:
            return error(
                environ, start_response, HTTPStatus.CONFLICT, f"A file named {name} exists. Choose another name."
            )
    headers = [("Location", f"/files/{name}")]
    return whole(start_response, name.encode(), "text/plain; charset=utf-8", HTTPStatus.CREATED, headers)


def is_name(name: str) -> bool:
    """Return whether an upload can have this name: not a path, not hidden, not too long."""
    return name == secure_filename(name) and 0 < len(name) <= NAME_LENGTH


def keep(file: FileStorage, name: str) -> None:
    """Write the file; raise FileExistsError if the name is taken."""
    uploads().mkdir(parents=True, exist_ok=True)
    # The link makes the complete file visible at once, and fails if the name is taken.
    with tempfile.NamedTemporaryFile(dir=uploads(), prefix=".") as part:
        file.save(part)
        part.flush()
        os.link(part.name, uploads() / name)


def uploads() -> Path:
    """Return the folder of the files, which all workers and releases share."""
    return settings().data_dir / "uploads"


def download(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the file, or the requested range of it (RFC 9110, 14), as an attachment (RFC 6266).

    An attachment, because an uploaded HTML page shown inline could run scripts with this site's origin.
    """
    _, arguments = environ["wsgiorg.routing_args"]
    if not is_name(arguments["name"]):
        return not_found(environ, start_response)
    try:
        response = send_from_directory(uploads(), arguments["name"], environ, as_attachment=True)
    except HTTPException as reason:  # NotFound, RequestedRangeNotSatisfiable
        return error(environ, start_response, HTTPStatus(reason.code or HTTPStatus.NOT_FOUND))
    return response(environ, start_response)


# --- The recipe as a site of its own. A copy ends here. ---

application = site({"/files": {"POST": upload}, "/files/{name}": {"GET": download}})

if __name__ == "__main__":
    serve(application)
