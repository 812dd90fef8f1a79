"""Results that every request asks again."""

import pytest

from deploy.server.memo import MOST, Memo


def test_result_is_computed_once_for_each_of_a_limited_number_of_keys():
    computed = []

    def double(number):
        computed.append(number)
        return 2 * number

    memo = Memo(double)
    keys = [*range(MOST + 1)]
    assert [memo[key] for key in keys * 2] == [2 * key for key in keys * 2]
    assert computed == [*keys, MOST]  # the last one again
    assert len(memo) == MOST


def test_exception_is_raised_each_time():
    memo = Memo(int)
    for _ in range(2):
        with pytest.raises(ValueError, match="six"):
            memo["six"]
