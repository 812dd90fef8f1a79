"""Fixtures for recipes: a folder for data, and passwords that cost little."""

import pytest
from argon2 import PasswordHasher

from app.settings import settings
from recipes import passwords


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Return the folder that the recipe uses as DATA_DIR."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    settings.cache_clear()
    yield tmp_path / "data"
    settings.cache_clear()


@pytest.fixture
def cheap(data_dir, monkeypatch):
    """Make a check of a password cost less than a millisecond, and return the hasher."""
    monkeypatch.setattr(passwords, "hasher", PasswordHasher(1, 8, 1))
    passwords.nobody.cache_clear()
    yield passwords.hasher
    passwords.nobody.cache_clear()
