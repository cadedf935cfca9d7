"""Work on a stream of items in several threads, with results in the order of the items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from threading import Event, Semaphore
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """`map`, with the items taken by one more thread and at most `threads` + 1 of them under way.

    An error of the items or of the work is raised where its result would have come, and when the
    caller stops early, no further item is taken.
    """
    under_way: Queue[Future[Result] | None] = Queue()
    places, stopped = Semaphore(threads + 1), Event()

    def take() -> None:
        try:
            for item in items:
                places.acquire()
                if stopped.is_set():
                    break
                under_way.put(workers.submit(work, item))
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            failed: Future[Result] = Future()
            failed.set_exception(error)
            under_way.put(failed)
        under_way.put(None)

    with ThreadPoolExecutor(threads) as workers, ThreadPoolExecutor(1) as taker:
        taking = taker.submit(take)
        try:
            while (future := under_way.get()) is not None:
                yield future.result()
                places.release()
        finally:
            stopped.set()
            places.release()
        taking.result()
