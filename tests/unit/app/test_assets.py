"""URLs of static files: plain names in development, names from the manifest in a release."""

import json
from base64 import b64encode
from hashlib import sha384

import pytest

from app import assets
from app.settings import Settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "settings", lambda: Settings(static_dir=tmp_path))
    monkeypatch.setattr(assets, "sources", lambda: [tmp_path])
    return tmp_path


@pytest.fixture
def packages(monkeypatch):
    """Return a function that sets PACKAGES."""
    assets.sources.cache_clear()
    yield lambda *names: monkeypatch.setattr(assets, "PACKAGES", names)
    assets.sources.cache_clear()


def test_static_files_of_a_package_belong_to_the_site(packages):
    packages("django.contrib.admin")
    url, _ = assets.static("admin/css/base.css")
    assert url == "/static/admin/css/base.css"
    assert assets.sources()[0] == Settings().static_dir


@pytest.mark.parametrize("name", ["nonesuch", "string"])
def test_unknown_package_is_named_in_error(name, packages):
    packages(name)
    with pytest.raises(LookupError, match=f"PACKAGES in app/assets.py has '{name}'"):
        assets.sources()


def test_url_is_quoted(folder):
    (folder / "Two words#1.svg").touch()
    assert assets.static("Two words#1.svg").url == "/static/Two%20words%231.svg"


def test_development_asset_has_plain_name_and_current_digest(folder):
    for text in (b"before", b"after"):
        (folder / "style.css").write_bytes(text)
        digest = b64encode(sha384(text).digest()).decode()
        assert assets.static("style.css") == ("/static/style.css", f"sha384-{digest}")


def test_release_asset_comes_from_manifest(folder):
    (folder / assets.MANIFEST).write_text(json.dumps({"style.css": ["/static/style.0.css", "sha384-x"]}))
    assert assets.static("style.css") == assets.Asset(url="/static/style.0.css", integrity="sha384-x")


@pytest.mark.parametrize("manifest", [None, {"style.css": ["/static/style.0.css", "sha384-x"]}])
def test_unknown_asset_raises_lookup_error(manifest, folder):
    if manifest:
        (folder / assets.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(LookupError, match=r"there is no static file 'nope\.css' in "):
        assets.static("nope.css")
