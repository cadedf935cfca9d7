"""The dispatcher: due tasks become HTTP requests, under their queues' limits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from emulators.tasks.calls import Answer, TokenSource, send_request
from emulators.tasks.protos import Message
from emulators.tasks.queues import Attempt, Queues
from emulators.tasks.retries import is_exhausted, measure_backoff

_THROTTLING = (429, 503)
_logger = logging.getLogger(__name__)


@dataclass
class Rate:
    """A queue's token bucket, and how many of its tasks are in flight."""

    tokens: float
    filled_at: float
    in_flight: int = 0

    def refill(self, limits: Message, now: float) -> None:
        """Add the tokens of the time that passed; ``now`` in seconds."""
        grown = (now - self.filled_at) * limits.max_dispatches_per_second
        self.tokens = min(self.tokens + grown, float(limits.max_burst_size))
        self.filled_at = now

    def until_next(self, limits: Message) -> float:
        """Seconds until there is a token."""
        return max(0.0, (1.0 - self.tokens) / float(limits.max_dispatches_per_second))


class Dispatcher:
    """One thread that looks for due tasks, and one for each attempt."""

    def __init__(self, queues: Queues, mint: TokenSource, now: Callable[[], int]) -> None:
        """``now`` is the time in microseconds since the epoch, as the queues keep it."""
        self._queues = queues
        self._mint = mint
        self._now = now
        self._rates: dict[str, Rate] = {}
        self._changed = threading.Condition()
        self._version = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin to dispatch."""
        self._thread.start()

    def stop(self) -> None:
        """Start no more attempts; those under way are made again after a restart."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def wake(self) -> None:
        """Look again now: a task or a queue changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopped:
            with self._changed:
                seen = self._version
            blocked = [self._dispatch_queue(queue) for queue in self._queues.list_queues("")]
            waits = [wait for wait in blocked if wait is not None]
            due = self._queues.next_due()
            if due is not None and due > self._now():
                waits.append((due - self._now()) / 1e6)
            with self._changed:
                if self._version == seen and not self._stopped:
                    self._changed.wait(min(waits, default=None))

    def _dispatch_queue(self, queue: Message) -> float | None:
        """Start what a queue may start now; seconds until its rate allows more, if that is it."""
        limits = queue.rate_limits
        with self._changed:
            rate = self._rates.setdefault(
                queue.name, Rate(float(limits.max_burst_size), time.monotonic())
            )
            rate.refill(limits, time.monotonic())
            room = min(int(rate.tokens), limits.max_concurrent_dispatches - rate.in_flight)
        attempts = self._queues.take_due(queue.name, room)
        with self._changed:
            rate.tokens -= len(attempts)
            rate.in_flight += len(attempts)
            full = rate.in_flight >= limits.max_concurrent_dispatches
            wait = None if full or rate.tokens >= 1 else rate.until_next(limits)
        for attempt in attempts:
            threading.Thread(
                target=self._make_attempt, args=(queue, rate, attempt), daemon=True
            ).start()
        return wait if room <= 0 or attempts else None

    def _make_attempt(self, queue: Message, rate: Rate, attempt: Attempt) -> None:
        answer = send_request(attempt, self._mint)
        if self._stopped:
            return
        try:
            self._settle(queue, attempt, answer)
        finally:
            with self._changed:
                rate.in_flight -= 1
            self.wake()

    def _settle(self, queue: Message, attempt: Attempt, answer: Answer) -> None:
        task = attempt.task
        if answer.is_success:
            self._queues.delete_task(task.name)
            return
        now = self._now()
        _logger.warning(
            "%s attempt %d: %s", task.name, task.dispatch_count, answer.status or answer.reason
        )
        if answer.status is not None:
            task.response_count += 1
            task.last_attempt.response_time.FromMicroseconds(now)
        config = task.retry_config if task.HasField("retry_config") else queue.retry_config
        retry_at: int | None = None
        if not is_exhausted(config, task, now):
            wait = measure_backoff(config, task.dispatch_count)
            if answer.status in _THROTTLING and answer.retry_after is not None:
                wait = max(wait, int(answer.retry_after * 1e6))
            retry_at = now + wait
        executed = answer.status is not None and answer.status < 500
        self._queues.fail_attempt(task, retry_at, answer.status, executed)
