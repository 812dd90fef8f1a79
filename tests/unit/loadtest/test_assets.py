"""What a page names for a browser to load, and what it only links to."""

from loadtest.assets import assets

PAGE = """
<link rel="icon" href="/static/icon.1f.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/style.3f2a.css">
<link rel="canonical" href="/about"><a href="/hello/world">Hello</a>
<img src="/static/a.png" alt=""><img src="data:,"><img src="//elsewhere.example/b.png"><img alt="">
<script src="/static/app.js" defer></script><script>"/static/not.js"</script>
"""


def test_what_a_browser_loads_of_itself_is_found_and_nothing_else():
    assert assets(PAGE) == ["/static/icon.1f.svg", "/static/style.3f2a.css", "/static/a.png", "/static/app.js"]


def test_an_empty_page_names_nothing():
    assert assets("") == []
