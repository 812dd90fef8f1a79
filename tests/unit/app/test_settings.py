"""Settings: defaults, and errors that name the variable, the value and the allowed values."""

import pytest

from app.settings import Settings, read
from app.variables import SettingError


@pytest.mark.parametrize("environ", [{}, {"LOG_LEVEL": "", "MAX_BODY_BYTES": "", "BACKEND": "", "RELEASE": ""}])
def test_unset_or_empty_setting_has_default(environ):
    assert read(environ) == Settings()


def test_settings_are_read_from_environ():
    environ = {"LOG_LEVEL": "debug", "MAX_BODY_BYTES": "10", "BACKEND": "uwsgi", "RELEASE": "7"}
    environ |= {"SERVER_WORKERS": "3", "SERVER_THREADS": "5"}
    expected = Settings(backend="uwsgi", release="7", workers=3, threads=5, log_level="debug", max_body_bytes=10)
    assert read(environ) == expected


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error, critical"),
        ("LOG_LEVEL", "INFO", "one of debug"),
        *(
            ("MAX_BODY_BYTES", value, "a whole number from 1 to")
            for value in ("0", "-1", "1.5", " 1", "1_0", "1m", "१", "9" * 20)
        ),
    ],
)
def test_invalid_setting_is_named_in_error(name, value, allowed):
    with pytest.raises(SettingError) as refusal:
        read({name: value})
    assert str(refusal.value).startswith(f"{name} is {value!r}: it must be {allowed}")


@pytest.mark.parametrize("value", ["1", "1073741824"])
def test_smallest_and_largest_values_are_allowed(value):
    assert read({"MAX_BODY_BYTES": value}).max_body_bytes == int(value)
