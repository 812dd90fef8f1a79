"""The references in CSS files and JavaScript modules: found in every form, and not in comments and other strings."""

import pytest

from deploy.server.references import references

CSS = [
    ("url(a.png)", ["a.png"]),
    ("url( 'a b.png' ) URL(\"c'd.png\")", ["a b.png", "c'd.png"]),
    ('url(a\\ b.png) url("\\63 \\"d.png") url(\'e\\\nf.png\')', ["a b.png", 'c"d.png', "ef.png"]),
    ("url(f.eot?#iefix) url(f.svg#x) url(#x) url()", ["f.eot?#iefix", "f.svg#x", "#x"]),
    ("url(data:image/svg+xml;charset=utf8,%3Csvg%3E)", ["data:image/svg+xml;charset=utf8,%3Csvg%3E"]),
    ("url(\"data:image/svg+xml,<svg xmlns='x'>url(no.png)</svg>\")", None),
    ("@import \"a.css\"; @IMPORT/* x */'b.css' screen; @import url(c.css) layer(d);", ["a.css", "b.css", "c.css"]),
    ('image-set("a.avif" type("image/avif"), url(b.png) 2x, "c.png" 3x)', ["a.avif", "b.png", "c.png"]),
    ("/* url(a.png) @import 'b.css' */ p { content: 'url(c.png)' }", []),
    ("/*# sourceMappingURL=a.css.map */", ["a.css.map"]),
    ("my-url(a.png) --url: b", []),
    ("/* never ends url(a.png)", []),
    ("url(\\ffffff.png) url(\\d800.png) url(\\0.png)", ["\N{REPLACEMENT CHARACTER}.png"] * 3),
]
JAVASCRIPT = [
    (
        "import './a.js'; import b from \"../b.js\"; import*as c from'/static/c.js'",
        ["./a.js", "../b.js", "/static/c.js"],
    ),
    ("import {\n  a, // from './no.js'\n  b,\n} from './a.js'", ["./a.js"]),
    ("export*from\"./a.js\";export{b as c}from'./b.js'", ["./a.js", "./b.js"]),
    (
        "import('./a.js'); import(/* webpackChunkName: 'x' */ `./b.js`); await import( './c.js' )",
        ["./a.js", "./b.js", "./c.js"],
    ),
    ("import x from './x.json' with { type: 'json' }", ["./x.json"]),
    ("import 'react'; import(`./${name}.js`); from('./a.js'); x.import './b.js'", []),
    ("new URL('a.png', import.meta.url); new URL(`b.png`,``+import.meta.url); new URL('c', base)", ["a.png", "b.png"]),
    ("const a = '/static/a.png', b = 'not /static/b.png'", ["/static/a.png"]),
    ("// import './a.js'\n/* import './b.js' */ x = \"import './c.js'\" + 'import(\"./d.js\")' + `from './e.js'`", []),
    ("x = /['\"]/; y = z.replace(/[/'\"]/g, ''); import './a.js'", ["./a.js"]),
    ("x = a / b; import './a.js'; y = c / d", ["./a.js"]),
    ("x = 'https://example.org'; import './a.js'", ["./a.js"]),
    ("x()\n//# sourceMappingURL=a.js.map\n", ["a.js.map"]),
    ("import('./a.js')" * 3 + "/*" + " /**/import/*" * 40, ["./a.js"] * 3),
]


def urls(name, text):
    return [reference.url for reference in references(name, text.encode())]


@pytest.mark.parametrize(("text", "found"), CSS)
def test_references_in_a_style_sheet(text, found):
    assert urls("x.css", text) == (found if found is not None else [text[5:-2]])


@pytest.mark.parametrize("name", ["x.js", "X.MJS"])
@pytest.mark.parametrize(("text", "found"), JAVASCRIPT)
def test_references_in_a_script(text, found, name):
    assert urls(name, text) == found


def test_other_files_have_no_references():
    assert urls("x.txt", "url(a.png) import './a.js'") == []


def test_place_of_a_reference_is_the_text_between_its_quotes():
    text = "p { background: url('a\\ b.png') }"
    [reference] = references("x.css", text.encode())
    assert text[reference.start : reference.end] == "a\\ b.png"
