"""Queues and tasks, in SQLite.

Invariants:
  - A task is a row until it is done, deleted, purged or out of attempts; from then on its name
    is a tombstone for 24 hours.
  - A task is dispatched by one caller at a time (``in_flight``); a restart clears the mark, so
    an attempt that a crash interrupted is made again.
  - One lock covers every statement. WAL with ``synchronous=NORMAL``: what was answered
    survives a SIGKILL.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from emulators.refusal import Refusal, not_found
from emulators.tasks.protos import PAUSED, RUNNING, Message, Queue, Task

TOMBSTONE_MICROSECONDS = 24 * 3600 * 1_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (
    name TEXT PRIMARY KEY, running INTEGER NOT NULL, queue BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (
    name TEXT PRIMARY KEY, queue TEXT NOT NULL, due INTEGER NOT NULL,
    in_flight INTEGER NOT NULL DEFAULT 0, forced INTEGER NOT NULL DEFAULT 0,
    executions INTEGER NOT NULL DEFAULT 0, previous_response INTEGER,
    task BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_by_due ON tasks (queue, due);
CREATE TABLE IF NOT EXISTS tombstones (name TEXT PRIMARY KEY, until INTEGER NOT NULL)
    WITHOUT ROWID;
UPDATE tasks SET in_flight = 0;
"""


@dataclass(frozen=True)
class Attempt:
    """A task that is to be dispatched now.

    ``executions`` counts the answers so far other than 5xx; ``previous_response`` is the status
    of the last one of any kind, None before that.
    """

    task: Message
    executions: int
    previous_response: int | None


class Queues:
    """Every queue and its tasks, in one SQLite file or in memory."""

    def __init__(self, path: str, now: Callable[[], int]) -> None:
        """``now`` is the time in microseconds since the epoch."""
        self._now = now
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        with self._lock:
            self._connection.close()

    # -- queues --------------------------------------------------------------------------

    def create_queue(self, queue: Message) -> None:
        """Add a queue; ALREADY_EXISTS when there is one of its name."""
        with self._lock:
            try:
                self._connection.execute(
                    "INSERT INTO queues VALUES (?, 1, ?)", (queue.name, queue.SerializeToString())
                )
            except sqlite3.IntegrityError as error:
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "Queue already exists") from error

    def get_queue(self, name: str) -> Message:
        """A queue, with its state; NOT_FOUND when there is none."""
        with self._lock:
            row = self._connection.execute(
                "SELECT running, queue FROM queues WHERE name = ?", (name,)
            ).fetchone()
        if row is None:
            raise not_found("Queue does not exist.")
        return _decode_queue(*row)

    def list_queues(self, parent: str) -> list[Message]:
        """The queues of a location, by name; of every location for an empty ``parent``."""
        with self._lock:
            rows = self._connection.execute("SELECT running, queue FROM queues ORDER BY name")
            queues = [_decode_queue(*row) for row in rows]
        return [queue for queue in queues if queue.name.startswith(parent)]

    def update_queue(self, queue: Message) -> None:
        """Replace a queue's configuration."""
        with self._lock:
            self._connection.execute(
                "UPDATE queues SET queue = ? WHERE name = ?",
                (queue.SerializeToString(), queue.name),
            )

    def set_running(self, name: str, running: bool) -> None:
        """Pause or resume a queue."""
        with self._lock:
            self._connection.execute(
                "UPDATE queues SET running = ? WHERE name = ?", (running, name)
            )

    def delete_queue(self, name: str) -> None:
        """Delete a queue and its tasks."""
        with self._lock:
            self.purge_queue(name)
            self._connection.execute("DELETE FROM queues WHERE name = ?", (name,))

    def purge_queue(self, name: str) -> None:
        """Delete the tasks of a queue."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT OR REPLACE INTO tombstones SELECT name, ? FROM tasks WHERE queue = ?",
                (self._now() + TOMBSTONE_MICROSECONDS, name),
            )
            self._connection.execute("DELETE FROM tasks WHERE queue = ?", (name,))
            self._connection.execute("COMMIT")

    # -- tasks ---------------------------------------------------------------------------

    def create_task(self, queue: str, task: Message) -> None:
        """Add a task; NOT_FOUND without its queue, ALREADY_EXISTS for a name in use or buried."""
        now = self._now()
        with self._lock:
            self.get_queue(queue)
            self._connection.execute("DELETE FROM tombstones WHERE until <= ?", (now,))
            sql = "SELECT 1 FROM tombstones WHERE name = ?"
            if self._connection.execute(sql, (task.name,)).fetchone():
                raise Refusal(
                    grpc.StatusCode.ALREADY_EXISTS,
                    "The task cannot be created because a task with this name existed too recently."
                    " For more information about task de-duplication see"
                    " https://cloud.google.com/tasks/docs/reference/rest/v2/"
                    "projects.locations.queues.tasks/create#body.request_body.FIELDS.task",
                )
            try:
                self._connection.execute(
                    "INSERT INTO tasks (name, queue, due, task) VALUES (?, ?, ?, ?)",
                    (task.name, queue, task.schedule_time.ToMicroseconds(), _encode(task)),
                )
            except sqlite3.IntegrityError as error:
                message = "Requested entity already exists"
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, message) from error

    def get_task(self, name: str) -> Message:
        """A task; NOT_FOUND when it is not there, or no longer."""
        with self._lock:
            task = self._load(name)
        if task is None:
            raise not_found("The task does not exist, or was executed or deleted.")
        return task

    def list_tasks(self, queue: str, after: str, limit: int) -> list[Message]:
        """Up to ``limit`` tasks of a queue whose names come after ``after``, by name."""
        self.get_queue(queue)
        with self._lock:
            rows = self._connection.execute(
                "SELECT task FROM tasks WHERE queue = ? AND name > ? ORDER BY name LIMIT ?",
                (queue, after, limit),
            )
            return [Task.FromString(row[0]) for row in rows]

    def delete_task(self, name: str) -> bool:
        """End a task and bury its name; False when it was not there."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            gone = self._connection.execute("DELETE FROM tasks WHERE name = ?", (name,)).rowcount
            if gone:
                self._connection.execute(
                    "INSERT OR REPLACE INTO tombstones VALUES (?, ?)",
                    (name, self._now() + TOMBSTONE_MICROSECONDS),
                )
            self._connection.execute("COMMIT")
        return bool(gone)

    def force_task(self, name: str) -> Message:
        """Have a task dispatched now, whatever its schedule and its queue's state."""
        with self._lock:
            task = self.get_task(name)
            self._connection.execute(
                "UPDATE tasks SET forced = 1, due = ? WHERE name = ?", (self._now(), name)
            )
        return task

    # -- dispatch ------------------------------------------------------------------------

    def take_due(self, queue: str, limit: int) -> list[Attempt]:
        """Mark up to ``limit`` due tasks as in flight, the earliest first, and answer them.

        Forced ones come whatever the limit and the queue's state.
        """
        now = self._now()
        with self._lock:
            rows = self._connection.execute(
                "SELECT name, executions, previous_response FROM tasks"
                " WHERE queue = ? AND NOT in_flight AND forced",
                (queue,),
            ).fetchall()
            rows += self._connection.execute(
                "SELECT tasks.name, executions, previous_response FROM tasks"
                " JOIN queues ON queues.name = tasks.queue WHERE tasks.queue = ?"
                " AND NOT in_flight AND NOT forced AND running AND due <= ? ORDER BY due LIMIT ?",
                (queue, now, max(0, limit)),
            ).fetchall()
            return [self._start(name, executions, last, now) for name, executions, last in rows]

    def next_due(self) -> int | None:
        """When the next task that may be dispatched is due, in microseconds."""
        with self._lock:
            (due,) = self._connection.execute(
                "SELECT min(due) FROM tasks JOIN queues ON queues.name = tasks.queue"
                " WHERE NOT in_flight AND (running OR forced)"
            ).fetchone()
        return None if due is None else int(due)

    def fail_attempt(
        self, task: Message, retry_at: int | None, status: int | None, executed: bool
    ) -> None:
        """Record a failed attempt, and when the next is due; the task ends when there is none.

        ``status`` is that of the answer, None without one. A task that was deleted meanwhile
        stays deleted.
        """
        if retry_at is None:
            self.delete_task(task.name)
            return
        task.schedule_time.FromMicroseconds(retry_at)
        with self._lock:
            self._connection.execute(
                "UPDATE tasks SET in_flight = 0, due = ?, executions = executions + ?,"
                " previous_response = ?, task = ? WHERE name = ?",
                (retry_at, executed, status, _encode(task), task.name),
            )

    def _start(self, name: str, executions: int, last: int | None, now: int) -> Attempt:
        task = self._load(name)
        assert task is not None
        task.dispatch_count += 1
        task.last_attempt.schedule_time.CopyFrom(task.schedule_time)
        task.last_attempt.dispatch_time.FromMicroseconds(now)
        if not task.HasField("first_attempt"):
            task.first_attempt.dispatch_time.FromMicroseconds(now)
        self._connection.execute(
            "UPDATE tasks SET in_flight = 1, forced = 0, task = ? WHERE name = ?",
            (_encode(task), name),
        )
        return Attempt(task, executions, last)

    def _load(self, name: str) -> Message | None:
        row = self._connection.execute("SELECT task FROM tasks WHERE name = ?", (name,)).fetchone()
        return None if row is None else Task.FromString(row[0])


def strip_body(tasks: Sequence[Message]) -> list[Message]:
    """The tasks in the basic view: without their bodies."""
    for task in tasks:
        task.http_request.ClearField("body")
    return list(tasks)


def _encode(task: Message) -> bytes:
    encoded: bytes = task.SerializeToString()
    return encoded


def _decode_queue(running: int, encoded: bytes) -> Message:
    queue = Queue.FromString(encoded)
    queue.state = RUNNING if running else PAUSED
    return queue
