"""The TaskQueue in Postgres, and the dispatcher that calls functions as Cloud Tasks does.

Invariants:
  - A task's row outlives the task: `done_at` is set and the body dropped, so that the primary key
    refuses its name for ever.
  - A dispatcher takes a task by a lease: it locks rows that no other is taking (SKIP LOCKED), and
    moves `visible_at` to the lease's end. It renews the lease while the call runs; when it is
    killed, the lease runs out and the task is delivered again. So delivery is at least once, and
    any number of dispatchers may run.
  - `attempts` numbers the leases. What an old attempt says about a failure counts for nothing once
    there is a newer one; a success counts whenever it comes.
  - All times are the database's, so the machines' clocks need not agree.
  - Nothing is polled: an insert and a postponement NOTIFY, and a dispatcher that is idle waits for
    that or for the next `visible_at`.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import psycopg
from psycopg.types.json import Json as JsonValue

from eventpulse.adapters.postgres import Connection, Database, Schema, is_transient
from eventpulse.adapters.task_delivery import Answer, Attempt, Delivery, make_headers
from eventpulse.adapters.task_values import check_task, encode_body
from eventpulse.errors import BackendUnavailable
from eventpulse.ports import Task

SCHEMA = Schema(
    "tasks",
    (
        """
        CREATE TABLE eventpulse.tasks (
            name text COLLATE "C" PRIMARY KEY,
            function text NOT NULL,
            body bytea NOT NULL,
            headers json NOT NULL,
            due timestamptz NOT NULL,
            visible_at timestamptz NOT NULL,
            leased boolean NOT NULL DEFAULT false,
            attempts integer NOT NULL DEFAULT 0,
            executions integer NOT NULL DEFAULT 0,
            last_status integer,
            done_at timestamptz
        )
        """,
        "CREATE INDEX tasks_pending ON eventpulse.tasks (visible_at) WHERE done_at IS NULL",
    ),
)

_CHANNEL = "eventpulse_tasks"
_NOTIFY = f"SELECT pg_notify('{_CHANNEL}', '')"
_INSERT = """
    INSERT INTO eventpulse.tasks (name, function, body, headers, due, visible_at)
    VALUES (%(name)s, %(function)s, %(body)s, %(headers)s,
            greatest(%(not_before)s::timestamptz, now()), greatest(%(not_before)s, now()))
    ON CONFLICT DO NOTHING
"""
_TAKE = """
    UPDATE eventpulse.tasks task
       SET visible_at = clock_timestamp() + %(lease)s * interval '1 second',
           leased = true, attempts = attempts + 1
      FROM (SELECT name FROM eventpulse.tasks
             WHERE done_at IS NULL AND visible_at <= clock_timestamp()
             ORDER BY visible_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) taken
     WHERE task.name = taken.name
 RETURNING task.name, function, body, headers, attempts, executions,
           extract(epoch FROM due)::float8, last_status
"""
_NEXT = """
    SELECT extract(epoch FROM min(visible_at) - clock_timestamp())::float8
      FROM eventpulse.tasks WHERE done_at IS NULL
"""
_RENEW = """
    UPDATE eventpulse.tasks task
       SET visible_at = clock_timestamp() + %s * interval '1 second'
      FROM unnest(%s::text[], %s::integer[]) AS held (name, attempts)
     WHERE task.name = held.name AND task.attempts = held.attempts AND leased AND done_at IS NULL
"""
_FINISH = """
    UPDATE eventpulse.tasks
       SET done_at = now(), leased = false, body = '', headers = '{}', last_status = %(status)s
     WHERE name = %(name)s AND done_at IS NULL
"""
_POSTPONE = """
    UPDATE eventpulse.tasks
       SET due = clock_timestamp() + %(delay)s * interval '1 second',
           visible_at = clock_timestamp() + %(delay)s * interval '1 second',
           leased = false, executions = executions + %(executed)s, last_status = %(status)s
     WHERE name = %(name)s AND attempts = %(attempts)s AND leased AND done_at IS NULL
"""

_IDLE_SECONDS = 60.0  # a notification that was lost delays a task by this much at most
_BUSY_SECONDS = 0.05  # what is due is just being taken by another dispatcher
_RECONNECT_SECONDS = (0.05, 2.0)
_LOOK_SECONDS = 2.0  # how long the loop bears a fault before it connects anew
_LAST_SECONDS = 5.0  # for calls that were ended to give their tasks back
_THROTTLING = (429, 503)
_STOPPED = "the dispatcher is stopping"

logger = logging.getLogger("eventpulse.tasks")


class PostgresTaskQueue:
    """The queue behind a `postgresql://` URL; the table is made on first use.

    `enqueue` may answer False for a task that this very call added, when the answer to its first
    try was lost.
    """

    def __init__(self, url: str, *, patience: float = 30.0) -> None:
        self._database = Database(url, SCHEMA, max_connections=4, patience=patience)

    def close(self) -> None:
        """Let go of all connections."""
        self._database.close()

    def enqueue(self, task: Task) -> bool:
        check_task(task)
        row = {
            "name": task.name,
            "function": task.function,
            "body": encode_body(task),
            "headers": JsonValue(dict(task.headers)),
            "not_before": task.not_before,
        }

        def work(connection: Connection) -> bool:
            added = connection.execute(_INSERT, row).rowcount == 1
            if added:
                connection.execute(_NOTIFY)
            return added

        return self._database.run("enqueue a task", work)

    def pending(self) -> int:
        def work(connection: Connection) -> int:
            row = connection.execute(
                "SELECT count(*) FROM eventpulse.tasks WHERE done_at IS NULL"
            ).fetchone()
            return 0 if row is None else int(row[0])

        return self._database.run("count tasks", work)


@dataclass(frozen=True, slots=True)
class Backoff:
    """When a failed task is tried again, with Cloud Tasks' meaning of each number.

    The delay starts at `shortest` seconds, doubles `doublings` times, then grows by its last step,
    up to `longest`. After `max_attempts` a task is given up; None: never.
    """

    shortest: float = 1.0
    longest: float = 60.0
    doublings: int = 16
    max_attempts: int | None = None

    def delay(self, attempt: int) -> float:
        """Seconds between attempt number `attempt` (from 1) and the next."""
        grown = 2.0 ** min(attempt - 1, self.doublings, 60) * max(1, attempt - self.doublings)
        return float(min(self.shortest * grown, self.longest))


class Dispatcher:
    """Delivers due tasks: `with Dispatcher(url, "http://127.0.0.1:8080/{function}"): …`.

    `target` is a function's URL, with `{function}` in it, or a callable that gives it. `token` goes
    into `Authorization: Bearer`. A call without an answer after `deadline` seconds has failed.
    `lease` seconds after a dispatcher was killed its tasks are delivered again.
    """

    def __init__(
        self,
        url: str,
        target: Callable[[str], str] | str,
        *,
        queue: str = "eventpulse",
        token: str | None = None,
        concurrency: int = 8,
        backoff: Backoff | None = None,
        deadline: float = 1800.0,
        lease: float = 15.0,
    ) -> None:
        self._database = Database(url, SCHEMA, max_connections=4)
        self._target = target if callable(target) else _make_target(target)
        self._queue = queue
        self._token = token
        self._concurrency = concurrency
        self._backoff = backoff or Backoff()
        self._deadline = deadline
        self._lease = lease
        self._changed = threading.Condition()
        self._running: dict[Delivery, float] = {}  # with the deadline of each
        self._stop_by: float | None = None
        self._waker: socket.socket | None = None  # ends the loop's wait
        self._renew_at = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="task-dispatcher", daemon=True)
        self._thread.start()

    def stop(self, grace: float = 5.0) -> None:
        """Take no more tasks, give running calls `grace` seconds, end the rest, and return.

        What was ended is delivered again, at once, by whichever dispatcher runs next.
        """
        self._stop_by = time.monotonic() + grace
        self._wake()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Dispatch until `stop` is called; survives the loss of the database."""
        first, longest = _RECONNECT_SECONDS
        delay = first
        try:
            while not self._is_finished():
                try:
                    with self._database.connect() as listener:
                        listener.execute(f"LISTEN {_CHANNEL}")
                        delay = first
                        self._dispatch(listener)
                except (psycopg.Error, BackendUnavailable) as error:
                    if isinstance(error, psycopg.Error) and not is_transient(error):
                        raise
                    logger.warning("the dispatcher lost its database: %s", error)
                    self._abort_overdue()
                    with self._changed:
                        self._changed.wait_for(self._is_finished, delay)
                    delay = min(delay * 2, longest)
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            left = list(self._running)
        for delivery in left:
            delivery.abort(_STOPPED)
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _LAST_SECONDS)
        self._database.close()

    # --- The loop --------------------------------------------------------------------------------

    def _dispatch(self, listener: Connection) -> None:
        bell, waker = socket.socketpair()
        with bell, waker, selectors.DefaultSelector() as selector:
            bell.setblocking(False)
            waker.setblocking(False)
            selector.register(listener.fileno(), selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            with self._changed:
                self._waker = waker
            try:
                while not self._is_finished():
                    # Emptied before looking: what comes while looking ends the wait at once.
                    for _ in listener.notifies(timeout=0):
                        pass
                    _silence(bell)
                    selector.select(self._look())
            finally:
                with self._changed:
                    self._waker = None

    def _look(self) -> float:
        """Do what is to be done now; answers the seconds until there may be more."""
        now = time.monotonic()
        self._abort_overdue()
        with self._changed:
            held = [delivery.attempt for delivery in self._running]
        if held and now >= self._renew_at:
            # Before taking: what is held here is then never taken here again.
            self._renew(held)
            self._renew_at = now + self._lease / 3
        waits = [_IDLE_SECONDS]
        free = self._concurrency - len(held)
        if self._stop_by is not None:
            waits.append(self._stop_by - now)
        elif free > 0:
            attempts, next_due = self._take(free)
            for attempt in attempts:
                self._start(attempt)
            if len(attempts) < free and next_due is not None:
                waits.append(max(next_due, _BUSY_SECONDS))
        with self._changed:
            deadlines = list(self._running.values())
        if deadlines:
            waits.append(self._renew_at - now)
            waits += [deadline - now for deadline in deadlines if deadline > now]
        return max(min(waits), 0.0)

    def _is_finished(self) -> bool:
        """Whether it was told to stop, and no call runs that may still take its time."""
        if self._stop_by is None:
            return False
        return not self._running or time.monotonic() >= self._stop_by

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            if self._waker is not None:
                with contextlib.suppress(BlockingIOError):  # it is ringing
                    self._waker.send(b"!")

    def _abort_overdue(self) -> None:
        now = time.monotonic()
        with self._changed:
            overdue = [d for d, deadline in self._running.items() if deadline <= now]
        for delivery in overdue:
            delivery.abort("DEADLINE_EXCEEDED")

    # --- Deliveries ------------------------------------------------------------------------------

    def _start(self, attempt: Attempt) -> None:
        headers = make_headers(attempt, self._queue, self._token)
        delivery = Delivery(attempt, self._target(attempt.function), headers)
        now = time.monotonic()
        with self._changed:
            if not self._running:
                self._renew_at = now + self._lease / 3
            self._running[delivery] = now + self._deadline
        threading.Thread(
            target=self._deliver, args=(delivery,), name=f"task-{attempt.name}", daemon=True
        ).start()

    def _deliver(self, delivery: Delivery) -> None:
        attempt = delivery.attempt
        try:
            self._settle(attempt, delivery.run(), delivery.aborted == _STOPPED)
        except BackendUnavailable as error:
            logger.warning("task %s: its answer is lost, it comes again: %s", attempt.name, error)
        finally:
            with self._changed:
                del self._running[delivery]
            self._wake()

    def _settle(self, attempt: Attempt, answer: Answer, stopped: bool) -> None:
        if answer.is_success:
            self._finish(attempt, answer.status)
            return
        if stopped:
            self._postpone(attempt, None, 0.0)
            return
        limit = self._backoff.max_attempts
        delay = self._backoff.delay(attempt.number)
        if answer.status in _THROTTLING and answer.retry_after is not None:
            delay = max(delay, answer.retry_after)
        problem = answer.problem or answer.status
        if limit is not None and attempt.number >= limit:
            logger.error("task %s: given up after %d attempts: %s", attempt.name, limit, problem)
            self._finish(attempt, answer.status)
            return
        logger.warning(
            "task %s: attempt %d failed, again in %.1f s: %s",
            attempt.name,
            attempt.number,
            delay,
            problem,
        )
        self._postpone(attempt, answer.status, delay)

    # --- The table -------------------------------------------------------------------------------

    def _take(self, limit: int) -> tuple[list[Attempt], float | None]:
        """Lease up to `limit` due tasks; and the seconds until the next is due, None without."""

        def work(connection: Connection) -> tuple[list[Attempt], float | None]:
            rows = connection.execute(_TAKE, {"lease": self._lease, "limit": limit}).fetchall()
            following = connection.execute(_NEXT).fetchone()
            return [Attempt(*row) for row in rows], None if following is None else following[0]

        return self._database.run("take tasks", work, patience=_LOOK_SECONDS)

    def _renew(self, held: Iterable[Attempt]) -> None:
        names, numbers = zip(*((attempt.name, attempt.number) for attempt in held), strict=True)
        values = (self._lease, list(names), list(numbers))
        self._database.run(
            "renew leases",
            lambda connection: connection.execute(_RENEW, values),
            patience=_LOOK_SECONDS,
        )

    def _finish(self, attempt: Attempt, status: int | None) -> None:
        values = {"name": attempt.name, "status": status}
        self._database.run("finish a task", lambda connection: connection.execute(_FINISH, values))

    def _postpone(self, attempt: Attempt, status: int | None, delay: float) -> None:
        values = {
            "name": attempt.name,
            "attempts": attempt.number,
            "delay": delay,
            "executed": int(status is not None and status < 500),
            "status": status,
        }

        def work(connection: Connection) -> None:
            connection.execute(_POSTPONE, values)
            connection.execute(_NOTIFY)

        self._database.run("postpone a task", work)


def _silence(bell: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):  # it is silent
        while bell.recv(4096):
            pass


def _make_target(template: str) -> Callable[[str], str]:
    return lambda function: template.replace("{function}", function)
