"""recipes/passwords.py: what a check costs, and who may ask for one."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest

from recipes import passwords
from recipes.passwords import ATTEMPTS, NotChecked, check, network

ADDRESS, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def known(cheap):
    return cheap.hash("lovelace")


def outcome(password, known, address=ADDRESS):
    try:
        return check(password, known, address)
    except NotChecked as reason:
        return reason.status


def test_only_the_right_password_matches(known):
    assert check("lovelace", known, ADDRESS)
    assert not check("byron", known, ADDRESS)
    assert not check("", known, ADDRESS)
    assert not check("lovelace", None, ADDRESS)


def test_unknown_user_costs_as_many_hashes_as_a_known_one(known, monkeypatch):
    hashed = []
    verify = type(passwords.hasher).verify
    monkeypatch.setattr(
        type(passwords.hasher), "verify", lambda *arguments: hashed.append(arguments[1]) or verify(*arguments)
    )
    check("byron", known, ADDRESS)
    check("byron", None, ADDRESS)
    mine, nobodys = hashed
    assert mine.split("$")[:4] == nobodys.split("$")[:4]  # the same algorithm and costs


def test_a_worker_checks_one_password_at_a_time_and_the_rest_gets_503(data_dir, monkeypatch):
    active, most, begun, may_end = 0, 0, 0, threading.Event()

    def matches(password, known):
        nonlocal active, most, begun
        begun += 1
        active += 1
        most = max(most, active)
        may_end.wait(20)
        active -= 1
        return True

    monkeypatch.setattr(passwords, "matches", matches)
    monkeypatch.setattr(passwords, "WAIT", 0.1)
    with ThreadPoolExecutor(6) as clients:
        outcomes = list(clients.map(lambda number: outcome("x", "", f"192.0.2.{number}"), range(6)))
        may_end.set()
    assert outcomes == [HTTPStatus.SERVICE_UNAVAILABLE] * 6
    monkeypatch.undo()
    passwords.checks.submit(int).result(20)
    assert most == 1
    assert begun == 1  # a check whose client has its 503 does not begin


def test_a_busy_worker_costs_no_attempt(known, monkeypatch):
    monkeypatch.setattr(passwords, "WAIT", 0)
    assert {outcome("byron", known) for _ in range(ATTEMPTS + 1)} == {HTTPStatus.SERVICE_UNAVAILABLE}


def test_address_with_too_many_wrong_passwords_gets_429_for_a_minute(known, monkeypatch):
    assert [outcome("byron", known) for _ in range(ATTEMPTS)] == [False] * ATTEMPTS
    with pytest.raises(NotChecked) as caught:
        check("lovelace", known, ADDRESS)
    assert (caught.value.status, caught.value.headers) == (HTTPStatus.TOO_MANY_REQUESTS, [("Retry-After", "60")])
    assert outcome("lovelace", known, OTHER) is True
    now = passwords.time.time()
    monkeypatch.setattr(passwords.time, "time", lambda: now + 61)
    assert outcome("lovelace", known) is True


def test_right_passwords_do_not_count(known):
    assert [outcome("lovelace", known) for _ in range(2 * ATTEMPTS)] == [True] * 2 * ATTEMPTS


def test_attempts_at_the_same_time_count_each_other(known):
    with ThreadPoolExecutor(8) as clients:
        outcomes = list(clients.map(lambda _: outcome("byron", known), range(3 * ATTEMPTS)))
    assert outcomes.count(False) == ATTEMPTS


def test_workers_share_the_attempts(known):
    script = f"from recipes.passwords import *\nfor _ in range({ATTEMPTS}): check('byron', None, '{ADDRESS}')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert outcome("lovelace", known) == HTTPStatus.TOO_MANY_REQUESTS


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_network_of_an_address(address, counted):
    assert network(address) == counted
