"""Threads work on a stream, results come in its order."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Event, current_thread

import pytest

from eventpulse.pipeline.ordered_map import map_in_order


def test_results_come_in_the_order_of_the_items() -> None:
    later = Event()

    def work(item: int) -> int:
        if item == 0:
            assert later.wait(10)
        if item == 1:
            later.set()
        return item * item

    assert list(map_in_order(work, range(50), threads=2)) == [n * n for n in range(50)]


def test_as_many_items_are_worked_on_at_once_as_there_are_threads() -> None:
    together = Barrier(3)

    def work(item: int) -> str:
        together.wait(10)
        return current_thread().name

    assert len(set(map_in_order(work, range(3), threads=3))) == 3


def test_an_error_of_the_items_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("broken off")

    results = map_in_order(lambda item: item, items(), threads=2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="broken off"):
        next(results)


def test_an_error_of_the_work_is_raised_in_its_place() -> None:
    results = map_in_order(lambda item: 1 // item, [1, 0, 1], threads=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_more_items_are_taken_than_are_under_way() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    results = map_in_order(lambda item: item, items(), threads=2)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(taken) < 10
