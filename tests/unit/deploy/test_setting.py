"""The files of variables that `make local` reads."""

import pytest

from app.variables import SettingError, secrets
from deploy.local.setting import variables


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"A=1\nnot an assignment\nB=2\n", 2),
        (b"\n\n# comment\n\nnot an assignment\n", 5),
        (b'A=1\nB="no end\n', 2),
        (b"A='x' y\n", 1),
        (b"=value\n", 1),
    ],
)
def test_malformed_line_is_named(tmp_path, text, line):
    (tmp_path / "app.env").write_bytes(text)
    with pytest.raises(SettingError, match=f"app.env, line {line}: it must be NAME=value"):
        variables(str(tmp_path / "app.env"))


def test_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "app.env").write_bytes(b"A=caf\xe9\n")
    with pytest.raises(SettingError, match="app.env cannot be read: it is not UTF-8"):
        variables(str(tmp_path / "app.env"))


def test_folder_is_refused(tmp_path):
    with pytest.raises(SettingError, match="cannot be read: Is a directory"):
        variables(str(tmp_path))


def test_missing_file_has_no_variables(tmp_path):
    assert variables(str(tmp_path / "app.env")) == {}


def test_files_of_windows_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\nB=two\r\n")
    assert variables(str(path)) == secrets(path) == {"A": "1", "B": "two"}
