"""What several threads work out together is what one of them would."""

from __future__ import annotations

import threading

import pytest

from p2pchat.lib import parallel


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parallel, "_threads", lambda: request.param)
    parallel._pool.cache_clear()
    return int(request.param)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 31, 32, 33, 47, 48, 50, 1_000])
def test_results_come_in_the_order_of_the_values(threads: int, count: int) -> None:
    assert parallel.each(lambda value: value * 2, range(count)) == [value * 2 for value in range(count)]


def test_few_values_wake_no_thread(threads: int) -> None:
    def here(value: int) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert all(parallel.each(here, range(2 * parallel.MIN_SHARE - 1)))
    assert all(parallel.each(here, range(1_000))) == (threads == 1)


def test_an_error_in_any_thread_is_raised_here(threads: int) -> None:
    def fail(value: int) -> int:
        if value == 99:
            raise ArithmeticError
        return value

    with pytest.raises(ArithmeticError):
        parallel.each(fail, range(100))
    assert parallel.each(fail, range(99)) == list(range(99))
