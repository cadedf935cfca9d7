"""The documents, in SQLite, and the one way to change them.

Invariants:
  - ``commit`` applies all of its writes or none, and later writes see earlier ones.
  - Commit times strictly increase, in whole microseconds, across restarts too.
  - A write that changes nothing keeps the document's update time, as the service does.
  - One lock covers every statement: a read sees whole commits only. Everything that a read
    returns was read at one moment.

On disk: ``documents`` holds one row per document (its fields as a serialised ``Document``
without name and times), ``clock`` the last commit time. WAL with ``synchronous=NORMAL``: what
was answered survives a SIGKILL of the process.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from emulators.firestore.protos import Document, Message, Value, WriteResult
from emulators.firestore.values import (
    MAX_DOCUMENT_BYTES,
    delete_field,
    get_field,
    measure_document,
    parse_field_path,
    set_field,
)
from emulators.refusal import Refusal, invalid_argument, unimplemented

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    name TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    collection TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    fields BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_by_collection ON documents (collection, parent);
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (0, 0);
"""
_DATABASE_ROOT = re.compile(r"projects/[^/]+/databases/[^/]+/documents")
_RESERVED_ID = re.compile(r"__.*__")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Committed:
    """What a commit answers: its time (microseconds) and one ``WriteResult`` per write."""

    time: int
    results: list[Message]


def check_document_name(name: str) -> None:
    """Refuse what is no document's resource name."""
    root = _DATABASE_ROOT.match(name)
    segments = name[root.end() + 1 :].split("/") if root else []
    if len(segments) < 2 or len(segments) % 2:
        raise invalid_argument(f"Document name {name!r} lacks a valid document path.")
    for segment in segments:
        if segment in ("", ".", "..") or len(segment.encode()) > 1500:
            raise invalid_argument(f"Document name {name!r} holds the invalid id {segment!r}.")
        if _RESERVED_ID.fullmatch(segment):
            raise invalid_argument(f"Resource id {segment!r} is invalid because it is reserved.")


def split_name(name: str) -> tuple[str, str]:
    """``(parent, collection id)`` of a document name."""
    collection, _, _ = name.rpartition("/")
    parent, _, collection_id = collection.rpartition("/")
    return parent, collection_id


class Documents:
    """Every document of every project and database, in one SQLite file or in memory."""

    def __init__(self, path: str, now: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        with self._lock:
            self._connection.close()

    # -- reads ---------------------------------------------------------------------------

    def read(self, names: Sequence[str]) -> tuple[int, dict[str, Message]]:
        """The read time and those of the named documents that exist, by name."""
        found: dict[str, Message] = {}
        with self._lock:
            for name in names:
                document = self._load(name)
                if document is not None:
                    found[name] = document
            return self._read_time(), found

    def scan(
        self, parent: str, collection_id: str, all_descendants: bool
    ) -> tuple[int, list[Message]]:
        """The read time and the documents of a collection, or of a collection group."""
        sql = "SELECT name, created, updated, fields FROM documents WHERE collection = ? AND "
        arguments: tuple[str, ...] = (collection_id, parent)
        if all_descendants:
            # '0' is the character after '/': the range holds every path below the parent.
            where = "(parent = ? OR parent > ? AND parent < ?)"
            arguments = (*arguments, f"{parent}/", f"{parent}0")
        else:
            where = "parent = ?"
        with self._lock:
            rows = self._connection.execute(sql + where, arguments).fetchall()
            read_time = self._read_time()
        return read_time, [_decode(*row) for row in rows]

    def list_missing(self, parent: str, collection_id: str) -> set[str]:
        """Names below which documents exist; some of them may not exist themselves."""
        prefix = f"{parent}/{collection_id}/"
        sql = "SELECT DISTINCT parent FROM documents WHERE parent > ? AND parent < ?"
        with self._lock:
            rows = self._connection.execute(sql, (prefix, prefix[:-1] + "0")).fetchall()
        return {prefix + str(row[0])[len(prefix) :].split("/")[0] for row in rows}

    def list_collections(self, parent: str) -> list[str]:
        """Ids of the collections below a document or the root, missing documents' too."""
        sql = "SELECT DISTINCT parent, collection FROM documents WHERE parent >= ? AND parent < ?"
        with self._lock:
            rows = self._connection.execute(sql, (parent, f"{parent}0")).fetchall()
        found = set()
        for row_parent, collection in rows:
            if row_parent == parent:
                found.add(collection)
            elif row_parent.startswith(f"{parent}/"):
                found.add(row_parent[len(parent) + 1 :].split("/")[0])
        return sorted(found)

    # -- writes --------------------------------------------------------------------------

    def commit(self, database: str, writes: Sequence[Message]) -> Committed:
        """Apply every write, or none.

        Raises Refusal: ALREADY_EXISTS, NOT_FOUND or FAILED_PRECONDITION from a write's
        precondition; INVALID_ARGUMENT for a bad name or a document over 1 MiB.
        """
        for write in writes:
            name = _target(write)
            check_document_name(name)
            if not name.startswith(f"{database}/documents/"):
                raise invalid_argument(f"Document name {name!r} is not in {database!r}.")
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                commit_time = self._tick()
                results = [self._apply(write, commit_time) for write in writes]
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        return Committed(commit_time, results)

    def _tick(self) -> int:
        (last,) = self._connection.execute("SELECT last FROM clock").fetchone()
        tick = max(self._now(), int(last) + 1)
        self._connection.execute("UPDATE clock SET last = ?", (tick,))
        return tick

    def _read_time(self) -> int:
        (last,) = self._connection.execute("SELECT last FROM clock").fetchone()
        return max(self._now(), int(last))

    def _load(self, name: str) -> Message | None:
        row = self._connection.execute(
            "SELECT name, created, updated, fields FROM documents WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else _decode(*row)

    def _apply(self, write: Message, commit_time: int) -> Message:
        name = _target(write)
        before = self._load(name)
        if write.HasField("current_document"):
            _check_precondition(write.current_document, name, before)
        if write.WhichOneof("operation") == "delete":
            self._connection.execute("DELETE FROM documents WHERE name = ?", (name,))
            return WriteResult()
        after = _update(write, before)
        result = WriteResult()
        for transform in write.update_transforms:
            result.transform_results.append(_transform(after.fields, transform, commit_time))
        size = measure_document(after)
        if size > MAX_DOCUMENT_BYTES:
            raise invalid_argument(
                f"Document {name!r} cannot be written because its size ({size:,} bytes) exceeds "
                f"the maximum allowed size of {MAX_DOCUMENT_BYTES:,} bytes."
            )
        if before is not None and before.fields == after.fields:
            result.update_time.CopyFrom(before.update_time)
            return result
        self._save(after, before, commit_time)
        result.update_time.FromMicroseconds(commit_time)
        return result

    def _save(self, document: Message, before: Message | None, commit_time: int) -> None:
        created = commit_time if before is None else before.create_time.ToMicroseconds()
        parent, collection_id = split_name(document.name)
        fields = Document(fields=document.fields).SerializeToString()
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            (document.name, parent, collection_id, created, commit_time, fields),
        )


def _target(write: Message) -> str:
    match write.WhichOneof("operation"):
        case "update":
            return str(write.update.name)
        case "delete":
            return str(write.delete)
    raise unimplemented("a write that is neither an update nor a delete")


def _decode(name: str, created: int, updated: int, fields: bytes) -> Message:
    document = Document.FromString(fields)
    document.name = name
    document.create_time.FromMicroseconds(created)
    document.update_time.FromMicroseconds(updated)
    return document


def _check_precondition(precondition: Message, name: str, before: Message | None) -> None:
    match precondition.WhichOneof("condition_type"):
        case "exists" if precondition.exists and before is None:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
        case "exists" if not precondition.exists and before is not None:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, f"Document already exists: {name}")
        case "update_time":
            stored = 0 if before is None else before.update_time.ToMicroseconds()
            required = precondition.update_time.ToMicroseconds()
            if stored != required or precondition.update_time.nanos % 1000:
                raise Refusal(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"the stored version ({stored}) does not match the required base version "
                    f"({required}): {name}",
                )


def _update(write: Message, before: Message | None) -> Message:
    """The document as the write leaves it, before its transforms."""
    if not write.HasField("update_mask"):
        return Document(name=write.update.name, fields=write.update.fields)
    after = Document(name=write.update.name)
    if before is not None:
        after.fields.MergeFrom(before.fields)
    for path in write.update_mask.field_paths:
        parts = parse_field_path(path)
        value = get_field(write.update.fields, parts)
        if value is None:
            delete_field(after.fields, parts)
        else:
            set_field(after.fields, parts, value)
    return after


def _transform(fields: Message, transform: Message, commit_time: int) -> Message:
    """Apply one field transform; answer its result."""
    parts = parse_field_path(transform.field_path)
    value = Value()
    kind = transform.WhichOneof("transform_type")
    if kind == "set_to_server_value":
        # The server's time is kept in milliseconds.
        value.timestamp_value.FromMilliseconds(commit_time // 1000)
    elif kind == "increment":
        value.CopyFrom(_increment(get_field(fields, parts), transform.increment))
    else:
        raise unimplemented(f"the field transform {kind}")
    set_field(fields, parts, value)
    return value


def _increment(current: Message | None, operand: Message) -> Message:
    kinds = ("integer_value", "double_value")
    operand_kind = operand.WhichOneof("value_type")
    current_kind = None if current is None else current.WhichOneof("value_type")
    if operand_kind not in kinds:
        raise invalid_argument("increment takes a number")
    if current is None or current_kind not in kinds:
        return operand
    total = getattr(current, str(current_kind)) + getattr(operand, operand_kind)
    if current_kind == operand_kind == "integer_value":
        return Value(integer_value=min(max(total, _INT64_MIN), _INT64_MAX))
    return Value(double_value=total)
