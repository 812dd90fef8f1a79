"""The handler of static files, for servers without nginx."""

import pytest

from app.handlers import static
from app.settings import Settings
from tests.wsgi import call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(static, "settings", lambda: Settings(static_dir=tmp_path))
    static.shared_data.cache_clear()
    yield tmp_path
    static.shared_data.cache_clear()


def test_file_is_sent_with_its_type(folder):
    (folder / "style.css").write_text("p {}")
    answer = call(static.files, "/style.css")
    assert (answer.status, answer.headers["Content-Type"], answer.text) == (200, "text/css; charset=utf-8", "p {}")


@pytest.mark.parametrize("path", ["/nope.css", "/", "/../secret"])
def test_other_path_gets_404(path, folder):
    (folder.parent / "secret").write_text("a secret")
    assert call(static.files, path).status == 404
