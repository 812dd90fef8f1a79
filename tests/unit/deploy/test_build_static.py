"""Building a release's static files: names, references, compression, the manifest, and what fails the build."""

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
    "app.js": 'import { tell } from "./modules/tell.js"; tell();',
    "modules/tell.js": "export const tell = () => {};",
    "root/robots.txt": "User-agent: *\n",
    "root/site.webmanifest": '{"icons": [{"src": "/static/images/dot.png"}]}',
    "root/.well-known/security.txt": "Expires: $EXPIRES\n",
    ".hidden": "nothing for anybody",
    "style.css.orig": "what a merge has left",
    "style.css.BAK": "what an editor has left",
    "#style.css#": "and another one",
}


def build(folder, source=SOURCE, template=""):
    """Build these files as an image does, in a process of its own, with a template that names what `template` says."""
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


def test_every_file_has_its_fingerprint_in_its_name_and_in_the_manifest(built, manifest):
    assert manifest.keys() == {name for name in SOURCE if not re.match(r"root/|\.hidden|.*\.orig|.*\.BAK|#", name)}
    for name, (url, integrity) in manifest.items():
        stem, dot, suffix = name.rpartition(".")
        assert re.fullmatch(rf"/static/{re.escape(stem)}\.[0-9a-f]{{12}}\{dot}{suffix}", url)
        digest = sha384(served(built, (url,)).read_bytes()).digest()
        assert integrity == "sha384-" + b64encode(digest).decode()


def test_nothing_else_is_published_but_the_files_of_the_root_under_their_own_names(built, manifest):
    expected = {served(built, entry) for entry in manifest.values()} | {
        built / name for name in SOURCE if name.startswith("root/")
    }
    found = {path for path in built.rglob("*") if path.is_file() and path.suffix != ".gz"}
    assert found == expected | {built / ".manifest.json"}


def test_references_in_css_in_modules_and_in_files_of_the_root_are_rewritten(built, manifest):
    text = {name: served(built, entry).read_text() for name, entry in manifest.items()}
    name = {key: entry[0].removeprefix("/static/") for key, entry in manifest.items()}
    assert name["fonts/fonts.css"] in text["style.css"]
    assert text["style.css"].count(name["images/dot.png"]) == 2
    assert name["fonts/a.woff2"].removeprefix("fonts/") in text["fonts/fonts.css"]
    assert name["modules/tell.js"] in text["app.js"]
    [icon] = json.loads((built / "root" / "site.webmanifest").read_text())["icons"]
    assert icon["src"] == manifest["images/dot.png"][0]


def test_the_date_in_security_txt_is_to_come(built):
    text = (built / "root" / ".well-known" / "security.txt").read_text()
    assert re.fullmatch(r"Expires: 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", text)


def test_what_becomes_smaller_has_a_compressed_twin_with_the_same_content(built, manifest):
    style = served(built, manifest["style.css"])
    twin = style.with_name(style.name + ".gz")
    assert gzip.decompress(twin.read_bytes()) == style.read_bytes()
    assert twin.stat().st_size < style.stat().st_size
    for name in ("fonts/a.woff2", "images/dot.png", "modules/tell.js"):
        path = served(built, manifest[name])
        assert not path.with_name(path.name + ".gz").exists()


def test_a_change_changes_the_name_of_its_file_and_of_those_that_name_it(built, manifest, tmp_path):
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
        ({"a.css": ""}, "{{ static('nope.css').url }}", "a template names nope.css, which app/static does not have"),
    ],
)
def test_a_reference_to_a_file_that_is_not_there_fails_the_build(source, template, sentence, tmp_path):
    ended, _ = build(tmp_path / "it", source, template)
    assert ended.returncode != 0
    assert ended.stderr.startswith("build_static: ")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
