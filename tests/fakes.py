"""The state ports in memory, for unit tests. They pass the same suites as the adapters.

Nothing here is a mock: both keep the ports' whole contract (conditions, order, cursors, names used
once), and can be read and driven by a test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any

from eventpulse.adapters.log_values import (
    Scalar,
    decode_cursor,
    decode_json,
    encode_commit,
    encode_cursor,
    new_writer,
    normalise_query,
    queryable_fields,
)
from eventpulse.adapters.task_values import check_task, encode_body
from eventpulse.ports import Append, Claim, Conflict, Event, Head, Json, Page, Query, Task


class MemoryEventLog:
    """An EventLog in one process, under one lock. `token` counts the commits to a stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[str, tuple[int, int, str]] = {}  # version, revision, projection
        self._events: dict[str, list[Event]] = {}
        self._claims: dict[str, str] = {}

    @property
    def streams(self) -> list[str]:
        return sorted(self._heads)

    def head(self, stream: str) -> Head:
        with self._lock:
            if stream not in self._heads:
                return Head(stream, 0, {})
            version, revision, projection = self._heads[stream]
            return Head(stream, version, decode_json(projection), revision)

    def heads(self, streams: Sequence[str]) -> list[Head]:
        return [self.head(stream) for stream in streams]

    def read(self, stream: str, after: int = 0) -> list[Event]:
        with self._lock:
            return self._events.get(stream, [])[after:]

    def commit(
        self,
        appends: Sequence[Append],
        claims: Sequence[Claim] = (),
        *,
        at: datetime,
        cause: Mapping[str, str] | None = None,
    ) -> Conflict | None:
        texts = encode_commit(appends, claims, at)
        writer = new_writer()
        encoded = [
            (append.head, list(zip(append.events, data, strict=True)), projection)
            for append, projection, data in zip(
                appends, texts.projections, texts.events, strict=True
            )
        ]
        claimed = dict(zip((claim.key for claim in claims), texts.claims, strict=True))
        with self._lock:
            for head, _, _ in encoded:
                version, revision, _ = self._heads.get(head.stream, (0, None, ""))
                if (version, revision) != (head.version, head.token):
                    return Conflict("stream", head.stream)
            for key in claimed:
                if key in self._claims:
                    return Conflict("claim", key)
            for head, events, projection in encoded:
                listed = self._events.setdefault(head.stream, [])
                for event, text in events:
                    data = decode_json(text)
                    version = len(listed) + 1
                    when = at.astimezone(UTC)
                    listed.append(
                        Event(
                            head.stream, version, event.type, when, data, dict(cause or {}), writer
                        )
                    )
                revision = 0 if head.token is None else int(str(head.token))
                self._heads[head.stream] = (len(listed), revision + 1, projection)
            self._claims.update(claimed)
        return None

    def claim(self, key: str) -> Mapping[str, Json] | None:
        with self._lock:
            return decode_json(self._claims[key]) if key in self._claims else None

    def query(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        position = None if cursor is None else decode_cursor(query, cursor)
        found = self._find(query)
        if position is not None:
            compare = _compare_positions(query)
            found = [head for head in found if compare(_position(query, head), position) > 0]
        heads = found[:limit]
        return Page(heads, encode_cursor(query, heads[-1]) if len(found) > limit else None)

    def count(self, query: Query) -> int:
        return len(self._find(query))

    def _find(self, query: Query) -> list[Head]:
        normal = normalise_query(query)
        if normal is None:
            return []
        with self._lock:
            streams = [name for name in self._heads if name.startswith(f"{query.kind}/")]
        found = [head for head in map(self.head, streams) if _matches(normal, head)]
        compare = _compare_positions(query)

        def compare_heads(one: Head, other: Head) -> int:
            return compare(_position(query, one), _position(query, other))

        return sorted(found, key=cmp_to_key(compare_heads))


Position = tuple[Sequence[Scalar], str]


def _position(query: Query, head: Head) -> Position:
    fields = queryable_fields(head.projection)
    return [fields.get(name) for name, _ in query.order_by], head.stream


def _compare_positions(query: Query) -> Callable[[Position, Position], int]:
    ways = [way for _, way in query.order_by]
    ways.append(ways[-1] if ways else "asc")

    def compare(a: Position, b: Position) -> int:
        for one, other, way in zip([*a[0], a[1]], [*b[0], b[1]], ways, strict=True):
            left, right = _rank(one), _rank(other)
            if left != right:
                return 1 if (left > right) == (way == "asc") else -1
        return 0

    return compare


def _rank(value: Scalar) -> tuple[int, Any]:
    """None, booleans, integers, strings by their bytes."""
    if isinstance(value, str):
        return 3, value.encode()
    return (0, 0) if value is None else (1 if isinstance(value, bool) else 2, value)


def _matches(query: Query, head: Head) -> bool:
    fields = queryable_fields(head.projection)
    return all(
        name in fields and _holds(fields[name], operator, value)
        for name, operator, value in query.where
    )


def _holds(found: str | int | bool | None, operator: str, value: Any) -> bool:
    if operator == "==":
        return type(found) is type(value) and found == value
    if operator == "in":
        return any(type(found) is type(one) and found == one for one in value)
    if not isinstance(found, str):
        return False
    left, right = found.encode(), str(value).encode()
    comparisons = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return comparisons[operator]


# --- Tasks ---------------------------------------------------------------------------------------


@dataclass
class _Entry:
    task: Task
    due: datetime
    attempts: int = 0
    done: bool = False


@dataclass
class MemoryTaskQueue:
    """A TaskQueue in one process. A test takes what is due, and says what came of it."""

    _entries: dict[str, _Entry] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def enqueue(self, task: Task) -> bool:
        check_task(task)
        encode_body(task)  # refuses what no body can hold
        with self._changed:
            if task.name in self._entries:
                return False
            due = task.not_before or datetime.min.replace(tzinfo=UTC)
            self._entries[task.name] = _Entry(task, due)
            self._changed.notify_all()
            return True

    def pending(self) -> int:
        with self._changed:
            return sum(not entry.done for entry in self._entries.values())

    def waiting(self) -> list[Task]:
        """The tasks that are not done, in the order in which they are due."""
        with self._changed:
            entries = [entry for entry in self._entries.values() if not entry.done]
        return [entry.task for entry in sorted(entries, key=lambda entry: entry.due)]

    def take_due(self, now: datetime) -> list[tuple[Task, int]]:
        """What is due, with the number of earlier attempts; it stays until `finish`."""
        with self._changed:
            entries = [e for e in self._entries.values() if not e.done and e.due <= now]
        return [(e.task, e.attempts) for e in sorted(entries, key=lambda entry: entry.due)]

    def finish(self, name: str, *, retry_at: datetime | None = None) -> None:
        """The task is done, or, with `retry_at`, was refused and comes again then."""
        with self._changed:
            entry = self._entries[name]
            entry.attempts += 1
            if retry_at is None:
                entry.done = True
            else:
                entry.due = retry_at
            self._changed.notify_all()

    def run_all(self, deliver: Callable[[Task], bool], now: Callable[[], datetime]) -> int:
        """Deliver what is due, in order, until nothing is; answers how many deliveries it took.

        `deliver` says whether the task is done; one that is not comes again after the others.
        """
        deliveries = 0
        while due := self.take_due(now()):
            for task, _ in due:
                deliveries += 1
                self.finish(task.name, retry_at=None if deliver(task) else now())
        return deliveries

    def wait_for_change(self, seconds: float) -> None:
        """Return when a task was added or finished, at the latest after `seconds`."""
        with self._changed:
            self._changed.wait(seconds)
