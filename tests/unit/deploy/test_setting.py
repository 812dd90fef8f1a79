"""`make local`: the files of variables that it reads, and a script that it cannot run."""

import pytest

from app.variables import SettingError, secrets
from deploy.local import __main__ as local
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
    with pytest.raises(SettingError, match=r"app\.env cannot be read: it is not UTF-8"):
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


@pytest.mark.parametrize(("text", "mode"), [("#!/bin/sh\r\n", 0o755), ("#!/bin/sh\n", 0o644)])
def test_script_that_cannot_run_is_named(tmp_path, monkeypatch, text, mode):
    script = tmp_path / "nginx" / "control.sh"
    script.parent.mkdir()
    script.write_text(text)
    script.chmod(mode)
    monkeypatch.setattr(local, "ROOT", tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match=r"nginx/control\.sh cannot be run: .* the line ends of Unix"):
        local.lay_out(tmp_path / "run", plain_names=True)
