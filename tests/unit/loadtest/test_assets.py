"""The files that a browser loads for a page."""

from loadtest.assets import assets

PAGE = """
<link rel="icon" href="/static/icon.1f.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/style.3f2a.css">
<link rel="canonical" href="/about"><a href="/hello/world">Hello</a>
<img src="/static/a.png" alt=""><img src="data:,"><img src="//elsewhere.example/b.png"><img alt="">
<script src="/static/app.js" defer></script><script>"/static/not.js"</script>
"""


def test_files_that_a_browser_loads_are_found_and_links_are_not():
    assert assets(PAGE) == ["/static/icon.1f.svg", "/static/style.3f2a.css", "/static/a.png", "/static/app.js"]


def test_empty_page_has_no_files():
    assert assets("") == []
