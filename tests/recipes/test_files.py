"""recipes/files.py: upload and download."""

import errno
import gzip
from wsgiref.util import FileWrapper

import pytest

from recipes import files
from recipes.files import application
from tests.wsgi import call

MULTIPART = "multipart/form-data; boundary=edge"


@pytest.fixture(autouse=True)
def uploads(data_dir):
    data_dir.mkdir()
    (data_dir / "secret").write_text("secret")
    return data_dir / "uploads"


def upload(name, content=b"hello", field="file", content_type=MULTIPART):
    head = f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--edge--\r\n"
    return call(application, "/files", "POST", body, CONTENT_TYPE=content_type)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 1_000_000])
def test_uploaded_file_can_be_downloaded(content):
    assert upload("notes.txt", content).headers["Location"] == "/files/notes.txt"
    answer = call(application, "/files/notes.txt")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Disposition"] == "attachment; filename=notes.txt"
    assert answer.headers["Content-Length"] == str(len(content))


def test_uploaded_page_is_sent_as_attachment():
    upload("page.html", b"<script>")
    assert call(application, "/files/page.html").headers["Content-Disposition"].startswith("attachment")


def test_download_uses_file_wrapper_of_server():
    wrapped = []

    class Wrapper(FileWrapper):
        def __init__(self, filelike, blksize=8192):
            super().__init__(filelike, blksize)
            wrapped.append(self)

    upload("notes.txt")
    assert call(application, "/files/notes.txt", **{"wsgi.file_wrapper": Wrapper}).body == b"hello"
    assert [wrapper.filelike.closed for wrapper in wrapped] == [True]


def test_range_request_gets_part_of_file():
    upload("notes.txt")
    answer = call(application, "/files/notes.txt", HTTP_RANGE="bytes=1-3")
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, b"ell", "bytes 1-3/5")
    assert call(application, "/files/notes.txt", HTTP_RANGE="bytes=9-").status == 416


def test_unchanged_file_gets_304():
    upload("notes.txt")
    etag = call(application, "/files/notes.txt", "HEAD").headers["ETag"]
    assert call(application, "/files/notes.txt", HTTP_IF_NONE_MATCH=etag).status == 304


@pytest.mark.parametrize(
    "name", ["missing", "", "..", "../secret", "..\\secret", "/etc/passwd", ".part", "a\0b", "n" * 256]
)
def test_name_that_is_no_upload_gets_404(name, uploads):
    upload("notes.txt")
    (uploads / ".part").write_text("half a file")
    assert call(application, f"/files/{name}").status == 404


@pytest.mark.parametrize("name", ["../secret", "/secret", ".secret", "..%2Fsecret", "a/../../secret"])
def test_unsafe_name_stays_in_uploads_folder(name, uploads):
    assert upload(name).status == 201
    assert (uploads.parent / "secret").read_text() == "secret"
    [kept] = uploads.iterdir()
    assert kept.read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("", "file"),
        ("..", "file"),
        ("日本", "file"),
        ("notes.txt", "other"),
        ("n" * 256, "file"),
        ("n" * 60_000, "file"),
    ],
)
def test_missing_name_or_wrong_field_gets_400(name, field):
    assert upload(name, field=field).status == 400


def test_existing_file_is_not_overwritten(uploads):
    assert [upload("notes.txt", content).status for content in (b"one", b"two")] == [201, 409]
    assert [path.read_bytes() for path in uploads.iterdir()] == [b"one"]


def test_large_file_gets_413_and_is_not_stored(uploads):
    assert upload("notes.txt", b"\0" * 1_048_576).status == 413
    assert not uploads.exists()


def test_other_media_type_gets_415():
    assert upload("notes.txt", content_type="text/plain").status == 415


def test_file_can_have_the_longest_name_that_linux_allows():
    name = "n" * 255
    assert upload(name).headers["Location"] == f"/files/{name}"
    assert call(application, f"/files/{name}").body == b"hello"


def test_form_with_many_parts_or_a_large_field_gets_413(uploads):
    part = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    for body in ((part + b"\r\n") * 11, part + b"a" * 600_000 + b"\r\n"):
        answer = call(application, "/files", "POST", body + b"--edge--\r\n", CONTENT_TYPE=MULTIPART)
        assert answer.status == 413
    assert not uploads.exists()


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: a=b", "a%0d%0aSet-Cookie: a=b", 'a"; filename="b', "a\0.txt"])
def test_name_adds_no_header(name, uploads):
    answer = upload(name)
    assert "Set-Cookie" not in answer.headers
    if answer.status == 201:
        download = call(application, answer.headers["Location"])
        assert download.headers["Content-Disposition"].count("filename") == 1


def test_compressed_upload_is_not_unpacked(uploads):
    bomb = gzip.compress(bytes(10_000_000))
    assert upload("bomb.gz", bomb).status == 201
    assert (uploads / "bomb.gz").stat().st_size == len(bomb)


def test_failed_write_gets_error_page_without_text_of_the_exception(uploads, monkeypatch):
    def fail(*paths):
        raise OSError(errno.ENOSPC, "No space left on device", *map(str, paths))

    monkeypatch.setattr(files.os, "link", fail)
    answer = upload("notes.txt")
    assert answer.status == 500
    assert "space" not in answer.text
    assert str(uploads) not in answer.text
