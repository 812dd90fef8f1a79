"""URLs of static files: plain names in development, names from the manifest in a release."""

import json
from base64 import b64encode
from hashlib import sha384

import pytest

from app import assets
from app.page import render
from app.settings import Settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "settings", lambda: Settings(static_dir=tmp_path))
    return tmp_path


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


def test_page_links_style_and_script_with_digests():
    page = render("home.html", instance="", worker=0, request_id="", origin="", elapsed=str)
    for name, attribute in (("style.css", "href"), ("app.js", "src")):
        url, integrity = assets.static(name)
        assert f'{attribute}="{url}" integrity="{integrity}"' in page
