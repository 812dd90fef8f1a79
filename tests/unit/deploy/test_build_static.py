"""Building a release's static files: names, references, compression, the manifest, and errors."""

import gzip
import json
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = {
    "style.css": '@import "fonts/fonts.css"; body { background: url(images/dot.png); } '
    "p { background: url(/static/images/dot.png); } /* " + "padding " * 50 + "*/",
    "fonts/fonts.css": "@font-face { src: url('a.woff2'); }",
    "fonts/a.woff2": "a font",
    "images/dot.png": "a picture",
    "app.js": 'import { show } from "./modules/show.js"; show();',
    "modules/show.js": "export const show = () => {};",
    "root/robots.txt": "User-agent: *\n",
    "root/site.webmanifest": '{"icons": [{"src": "/static/images/dot.png"}]}',
    "root/.well-known/security.txt": "Expires: $EXPIRES\n",
    ".hidden": "private",
    "style.css.orig": "from a merge",
    "style.css.BAK": "from an editor",
    "#style.css#": "from Emacs",
}


def build(folder, source=SOURCE, template=""):
    """Build these files, with this template, in a separate process, as the image does."""
    app = folder / "app"
    app.mkdir(parents=True)
    for name in ("__init__.py", "assets.py", "page.py", "settings.py", "variables.py", "urls.py"):
        (app / name).write_text((ROOT / "app" / name).read_text())
    (app / "templates").mkdir()
    (app / "templates" / "page.html").write_text(template)
    (folder / "deploy" / "server").mkdir(parents=True)
    (folder / "deploy" / "server" / "build_static.py").write_text(
        (ROOT / "deploy" / "server" / "build_static.py").read_text()
    )
    for name, text in source.items():
        path = app / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-m", "deploy.server.build_static", "built"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False), folder / "built"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    ended, folder = build(tmp_path_factory.mktemp("release"))
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def manifest(built):
    return json.loads((built / ".manifest.json").read_text())


def served(built, entry):
    return built / entry[0].removeprefix("/static/")


def test_every_file_is_fingerprinted_and_in_the_manifest(built, manifest):
    assert manifest.keys() == {name for name in SOURCE if not re.match(r"root/|\.hidden|.*\.orig|.*\.BAK|#", name)}
    for name, (url, integrity) in manifest.items():
        stem, dot, suffix = name.rpartition(".")
        assert re.fullmatch(rf"/static/{re.escape(stem)}\.[0-9a-f]{{12}}\{dot}{suffix}", url)
        digest = sha384(served(built, (url,)).read_bytes()).digest()
        assert integrity == "sha384-" + b64encode(digest).decode()


def test_only_files_of_the_root_keep_their_names(built, manifest):
    expected = {served(built, entry) for entry in manifest.values()} | {
        built / name for name in SOURCE if name.startswith("root/")
    }
    found = {path for path in built.rglob("*") if path.is_file() and path.suffix != ".gz"}
    assert found == expected | {built / ".manifest.json"}


def test_references_in_css_modules_and_the_root_are_rewritten(built, manifest):
    text = {name: served(built, entry).read_text() for name, entry in manifest.items()}
    name = {key: entry[0].removeprefix("/static/") for key, entry in manifest.items()}
    assert name["fonts/fonts.css"] in text["style.css"]
    assert text["style.css"].count(name["images/dot.png"]) == 2
    assert name["fonts/a.woff2"].removeprefix("fonts/") in text["fonts/fonts.css"]
    assert name["modules/show.js"] in text["app.js"]
    [icon] = json.loads((built / "root" / "site.webmanifest").read_text())["icons"]
    assert icon["src"] == manifest["images/dot.png"][0]


def test_security_txt_has_a_date(built):
    text = (built / "root" / ".well-known" / "security.txt").read_text()
    assert re.fullmatch(r"Expires: 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", text)


def test_file_is_also_compressed_if_that_makes_it_smaller(built, manifest):
    style = served(built, manifest["style.css"])
    twin = style.with_name(style.name + ".gz")
    assert gzip.decompress(twin.read_bytes()) == style.read_bytes()
    assert twin.stat().st_size < style.stat().st_size
    for name in ("fonts/a.woff2", "images/dot.png", "modules/show.js"):
        path = served(built, manifest[name])
        assert not path.with_name(path.name + ".gz").exists()


def test_change_renames_the_file_and_the_files_that_refer_to_it(built, manifest, tmp_path):
    _, other = build(tmp_path / "other", SOURCE | {"fonts/a.woff2": "another font"})
    changed = {
        name for name, entry in json.loads((other / ".manifest.json").read_text()).items() if entry != manifest[name]
    }
    assert changed == {"fonts/a.woff2", "fonts/fonts.css", "style.css"}


@pytest.mark.parametrize(
    ("source", "template", "sentence"),
    [
        ({"style.css": "a { background: url(nope.png); }"}, "", "nope.png"),
        ({"app.js": 'import "./nope.js";'}, "", "nope.js"),
        ({"a.css": ""}, "{{ static('nope.css').url }}", "a template names nope.css: add it to app/static"),
    ],
)
def test_reference_to_a_missing_file_fails_the_build(source, template, sentence, tmp_path):
    ended, _ = build(tmp_path / "it", source, template)
    assert ended.returncode != 0
    assert ended.stderr.startswith("build_static: ")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
