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


# begin monitoring
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OTEL_TRACES_SAMPLER_ARG", value) for value in ("1.1", "-0.1", "half", "nan", "1e-1", "1.", "10%", " 1")),
        *(
            ("OTEL_EXPORTER_OTLP_ENDPOINT", value)
            for value in (
                "collector:4318",
                "http://",
                "http://:1",
                "http://a:99999",
                "http://a:0",
                "http://a b",
                "grpc://a",
            )
        ),
        *(("SENTRY_DSN", value) for value in ("a/1", "https://a/1", "https://a:1/1")),
    ],
)
def test_invalid_receiver_is_named_in_error(name, value):
    with pytest.raises(SettingError) as refusal:
        read({name: value})
    assert str(refusal.value).startswith(f"{name} is {value!r}: it must be a ")


@pytest.mark.parametrize("value", ["https://key:secret@a/x", "https://key@a/", "https://key@a/1?", "https://key@a:x/1"])
def test_error_about_a_receiver_shows_no_key(value):
    with pytest.raises(SettingError) as refusal:
        read({"SENTRY_DSN": value})
    assert str(refusal.value).startswith(f"SENTRY_DSN is 'https://***@{value.partition('@')[2]}': it must be a URL")


def test_receivers_are_read_from_environ():
    dsn, endpoint = "https://key@[2001:db8::1]:9000/path/1", "http://user:password@collector:4318/path"
    environ = {"SENTRY_DSN": dsn, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "shop"}
    found = read({**environ, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ".5"})
    assert (found.sentry_dsn, found.traces_endpoint, found.service_name) == (dsn, endpoint, "shop")
    assert (found.traces_sampler, found.traces_rate) == ("parentbased_traceidratio", 0.5)


# end monitoring
