"""Building a release's static files: names, references, compression, the manifest, and errors."""

import gzip
import json
import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

import django.contrib.admin
import pytest

from deploy.server import build_static
from deploy.server.references import references

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
    for name in ("build_static.py", "references.py"):
        (folder / "deploy" / "server" / name).write_text((ROOT / "deploy" / "server" / name).read_text())
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
        (
            {"css/a.css": "a { background: url(../nope.png); }", "b.js": 'import "./no.js";'},
            "",
            "no.js: add or correct it\nbuild_static: css/a.css refers to ../nope.png, but there is no file nope.png",
        ),
        ({"b.js": 'import "./no.js";'}, "", "b.js refers to ./no.js, but there is no file no.js"),
        ({"style.css": "a { background: url(root/x.png); }", "root/x.png": ""}, "", "no file root/x.png"),
        ({"a.svgz": "no gzip"}, "", "a.svgz is not compressed by gzip: Not a gzipped file"),
        ({f"{'a' * 250}.css": ""}, "", ".css: File name too long"),
        ({"a.css": ""}, "{{ static('nope.css').url }}", "a template names nope.css: add it to app/static"),
    ],
)
def test_wrong_file_fails_the_build_with_one_sentence(source, template, sentence, tmp_path):
    ended, _ = build(tmp_path / "it", source, template)
    assert ended.returncode != 0
    assert ended.stderr.startswith("build_static: ")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


# References up, down and sideways, in cycles, and to names that need quoting.
LAYOUT = {
    "css/site.css": "@import 'base.css'; a{mask:url(../img/logo.svg?v=1#x)} b{src:url(\"../Fonts/My%20Font.WOFF\")}",
    "css/base.css": "@import './parts/deep.css'; a{background:url(data:image/gif;base64,R0lGOD)} b{mask:url(#mask)}",
    "css/parts/deep.css": "a{background:url(../../img/two\\ words.png)} b{background:url(https://example.org/x.png)}",
    "img/logo.svg": "<svg/>",
    "img/two words.png": "a picture",
    "Fonts/My Font.WOFF": "a font",
    "js/main.js": "import './one.js'; import './util/three.js'\n//# sourceMappingURL=main.js.map",
    "js/main.js.map": "{}",
    "js/one.js": "import './two.js'; import '/static/js/util/three.js'; import '/not/static.js'",
    "js/two.js": "export * from './one.js'; import('../js/main.js')",
    "js/util/three.js": "import '../two.js'",
    "lonely.js": "1\n//# sourceMappingURL=lonely.js.map",
    "LICENSE": "text",
    "bad.css": "\udcff{background:url(img/logo.svg)}",
}
CYCLE = {"js/main.js", "js/one.js", "js/two.js", "js/util/three.js"}


def build_here(folder, source):
    """Build the files in this process, and return the manifest's names and the contents of the built files."""
    for name, text in source.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    return built_of([folder / "source"], folder / "built")


def built_of(folders, target):
    names = {
        name: build_static.unquote(entry.url.removeprefix("/static/"))
        for name, entry in build_static.build(folders, target).items()
    }
    return names, {name: (target / name).read_bytes() for name in names.values()}


def check_references(names, contents):
    """Fail unless each reference to a file of the site names a fingerprinted file; return their number."""
    found = 0
    for name, content in contents.items():
        for reference in references(name, content):
            other = build_static.name_of(reference.url, name)
            if other is not None and reference.if_missing == "fail":
                assert other in contents, (name, reference)
                found += 1
    return found


def test_any_layout_can_be_built(tmp_path, capsys):
    names, contents = build_here(tmp_path, LAYOUT)
    assert names.keys() == LAYOUT.keys()
    assert check_references(names, contents) == 13
    site = contents[names["css/site.css"]].decode()
    assert f"url(../{names['img/logo.svg']}?v=1#x)" in site
    assert f'url("../{names["Fonts/My Font.WOFF"].replace(" ", "%20")}")' in site
    assert (
        f"url(../../{names['img/two words.png'].replace(' ', '%20')})" in contents[names["css/parts/deep.css"]].decode()
    )
    assert contents[names["js/main.js"]].endswith(f"={Path(names['js/main.js.map']).name}".encode())
    assert contents[names["bad.css"]].startswith(b"\xff{")
    warning = "build_static: warning: lonely.js names the source map lonely.js.map, which does not exist\n"
    assert capsys.readouterr().err == warning


def test_change_renames_a_whole_cycle(tmp_path):
    before, _ = build_here(tmp_path / "before", LAYOUT)
    after, _ = build_here(tmp_path / "after", LAYOUT | {"js/two.js": LAYOUT["js/two.js"] + "// changed"})
    assert {name for name in LAYOUT if before[name] != after[name]} == CYCLE
    swapped = {"img/logo.svg": LAYOUT["img/two words.png"], "img/two words.png": LAYOUT["img/logo.svg"]}
    after, _ = build_here(tmp_path / "swapped", LAYOUT | swapped)
    assert before["css/base.css"] != after["css/base.css"]


def test_first_folder_wins(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
    names, contents = built_of([tmp_path / "one", tmp_path / "two"], tmp_path / "built")
    assert contents[names["a.txt"]] == b"one"


BOOTSTRAP = ROOT / "tests" / "linters" / "node_modules" / "bootstrap" / "dist"
CORPUS = {  # and the least number of references in it
    "Django's admin": (Path(django.contrib.admin.__file__).parent / "static", 30),
    "Bootstrap": (BOOTSTRAP, 0),  # its styles have data: URLs only
    "a build of Vite": (Path(__file__).parent / "vite", 6),  # without its source maps
}


@pytest.mark.slow  # `make test` installs Bootstrap
@pytest.mark.parametrize("corpus", CORPUS)
def test_build_of_a_real_site(corpus, tmp_path):
    folder, least = CORPUS[corpus]
    if not folder.exists():
        pytest.skip("Bootstrap: the npm packages are not installed, `make .venv/node`")
    names, contents = built_of([folder], tmp_path / "built")
    assert len(names) == len([path for path in folder.rglob("*") if path.is_file()])
    assert check_references(names, contents) >= least
