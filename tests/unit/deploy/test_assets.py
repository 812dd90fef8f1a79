"""Publishing static files beside those of the releases before."""

from deploy.assets import publish


def test_files_are_put_beside_the_earlier_ones_and_replace_their_own(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "fonts").mkdir(parents=True)
    (source / "style.css").write_text("new")
    (source / "fonts" / "a.woff2").write_text("font")
    target.mkdir()
    (target / "style.css").write_text("old")
    (target / "earlier.css").write_text("earlier")

    assert publish(source, target) == 2

    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    assert found == {"style.css": "new", "earlier.css": "earlier", "fonts/a.woff2": "font"}
