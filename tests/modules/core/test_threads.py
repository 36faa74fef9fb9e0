"""Work in threads: order of results, number of pending ones, exceptions, shared budgets and contexts."""

from __future__ import annotations

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgetune.modules.core import threads
from edgetune.modules.core.threads import Budget, InOrder, without_warnings


def test_results_come_in_call_order_even_if_the_first_calls_take_longest():
    def slow(number: int) -> int:
        time.sleep(0.02 * (5 - number % 5))
        return number

    calls = InOrder(slow, threads=4)
    found = [result for number in range(20) for result in calls.call(number)]
    found += calls.rest()
    assert found == list(range(20)) and list(calls.rest()) == []


def test_the_number_of_pending_results_is_bounded():
    begun = []
    calls = InOrder(lambda number: begun.append(number) or number, threads=2)
    taken = 0
    for number in range(500):
        taken += len(list(calls.call(number)))
        assert len(begun) - taken <= number + 1 - taken <= 2 * threads._CALLS_PER_THREAD
    assert taken + len(list(calls.rest())) == 500


def test_calls_run_simultaneously():
    both = threading.Barrier(2, timeout=20)  # breaks if the calls run one after the other
    calls = InOrder(both.wait, threads=2)
    assert sorted([*calls.call(), *calls.call(), *calls.rest()]) == [0, 1]


def test_an_exception_is_raised_when_its_result_is_due():
    calls = InOrder(lambda number: 1 // number)
    found = [*calls.call(1)]
    with pytest.raises(ZeroDivisionError):
        for number in (0, 1):
            found += calls.call(number)
        found += calls.rest()
    assert found == [1]


def test_a_budget_is_exceeded_only_by_a_single_holder():
    budget, lock = Budget(), threading.Lock()
    used, highest = 0, []

    def work(amount: int) -> None:
        nonlocal used
        with budget.spend(amount, 10):
            with lock:
                used += amount
                highest.append((used, amount))
            time.sleep(0.001)
            with lock:
                used -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [3, 7, 25, 1, 4, 10, 5, 6] * 10))
    assert all(together <= 10 or together == alone for together, alone in highest)
    assert any(together > alone for together, alone in highest)


def test_a_budget_is_released_after_an_exception():
    budget = Budget()
    with pytest.raises(ZeroDivisionError), budget.spend(10, 10):
        raise ZeroDivisionError
    with budget.spend(10, 10):  # would wait forever if it were not released
        pass


def test_warnings_are_silent_in_all_threads_until_the_last_one_leaves():
    before = list(warnings.filters)
    inside, out = threading.Event(), threading.Event()

    def stay() -> None:
        with without_warnings():
            inside.set()
            out.wait(20)

    thread = threading.Thread(target=stay)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        within = list(warnings.filters)
        thread.start()
        inside.wait(20)
        with without_warnings():
            warnings.warn("first", stacklevel=1)
        warnings.warn("second", stacklevel=1)  # the thread is still inside
        out.set()
        thread.join()
        warnings.warn("third", stacklevel=1)
        assert warnings.filters == within
    assert [str(warning.message) for warning in heard] == ["third"]
    assert warnings.filters == before
