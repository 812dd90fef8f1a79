"""Secrets: the lines of the file, and who may read it."""

import pytest

from app import variables
from app.variables import SettingError, secrets, with_secrets


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the working folder. Containers' folders are in it too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(variables, "STORED", tmp_path / "run")
    (tmp_path / "run").mkdir()
    return tmp_path


def write(text, mode=0o600):
    variables.SECRETS.write_bytes(text if isinstance(text, bytes) else text.encode())
    variables.SECRETS.chmod(mode)


def test_secrets_are_lines_of_name_and_value():
    write("# none\n\nA=1\nB_2=x=y #\r\nC=\u2028\nD=\n")
    assert secrets(variables.SECRETS) == {"A": "1", "B_2": "x=y #", "C": "\u2028", "D": ""}


@pytest.mark.parametrize("line", ["hunter2", "A B=hunter2", "=hunter2", "2=hunter2", "export A=hunter2", "A=hunter2\0"])
def test_malformed_line_is_refused_without_its_value(line):
    write(f"A=1\n{line}")
    with pytest.raises(SettingError, match=r"^\.secrets, line 2: it must be NAME=value$"):
        secrets(variables.SECRETS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_secrets_that_others_can_read_are_refused(mode):
    write("A=1", mode)
    with pytest.raises(SettingError, match=rf"^\.secrets has mode {mode:o}: .* run `chmod 600 \.secrets`$"):
        secrets(variables.SECRETS)


def test_secrets_that_cannot_be_read_are_refused(folder):
    write(b"A=\xff")
    with pytest.raises(SettingError, match=r"^\.secrets cannot be read: it is not UTF-8$"):
        secrets(variables.SECRETS)
    with pytest.raises(SettingError, match="cannot be read: Is a directory"):
        secrets(folder / "run")


def test_environment_has_precedence_over_the_secrets():
    assert with_secrets({"A": "1"}) == {"A": "1"}
    write("A=2\nB=3")
    assert with_secrets({"A": "1"}) == {"A": "1", "B": "3"}


def test_container_reads_the_stored_secrets_that_it_names(folder):
    (folder / "run" / "12.env").write_text("A=5")
    assert with_secrets({"SECRETS_FILE": "12.env"})["A"] == "5"
    with pytest.raises(SettingError, match=r"^SECRETS_FILE is '13\.env': .* `make deploy` stores"):
        with_secrets({"SECRETS_FILE": "13.env"})
