"""The handler of static files under their own names."""

import pytest

from app.handlers import static
from tests.wsgi import call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(static, "sources", lambda: [tmp_path, tmp_path / "package"])
    static.shared_data.cache_clear()
    yield tmp_path
    static.shared_data.cache_clear()


def test_file_is_sent_with_its_type(folder):
    (folder / "style.css").write_text("p {}")
    answer = call(static.files, "/style.css")
    assert (answer.status, answer.headers["Content-Type"], answer.text) == (200, "text/css; charset=utf-8", "p {}")


def test_client_revalidates_file(folder):
    (folder / "package").mkdir()
    (folder / "package" / "style.css").write_text("p {}")
    answer = call(static.files, "/style.css")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert call(static.files, "/style.css", HTTP_IF_NONE_MATCH=answer.headers["Etag"]).status == 304


@pytest.mark.parametrize("path", ["/nope.css", "/", "/../secret"])
def test_other_path_gets_404(path, folder):
    (folder.parent / "secret").write_text("a secret")
    assert call(static.files, path).status == 404


def test_file_has_no_other_method_than_get_and_head():
    assert call(static.files, "/style.css", "HEAD").status == 200
    answer = call(static.files, "/style.css", "DELETE")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
