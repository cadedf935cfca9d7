"""Buckets, generations, resumable sessions and undelivered events, in SQLite.

Invariants:
  - A finished write is one transaction: the new generation becomes the live one, the old one
    becomes noncurrent (or goes, in a bucket without versioning), and its events are in the
    outbox. Preconditions are checked in that same transaction.
  - Generations strictly increase over all objects, in microseconds, across restarts too.
  - The bytes of a generation are an immutable file. The file is complete before the row
    exists; files that no row names are removed at the next start.
  - ``mirror/<bucket>/<name>`` is a hard link to the live generation's file, for programs that
    take a bucket for a directory. It is derived from the rows, and made anew at each start.

The server runs on one event loop and every method here is synchronous, so no two overlap.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulators.storage.blobs import Blobs
from emulators.storage.errors import Refusal, invalid, no_bucket, no_object
from emulators.storage.records import Conditions, Session, Stored, format_time

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), last INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (0, 0);
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, metageneration INTEGER NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL, attributes TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL,
    metageneration INTEGER NOT NULL, live INTEGER NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL, deleted INTEGER,
    blob TEXT NOT NULL, size INTEGER NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS live_objects ON objects (bucket, name) WHERE live;
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, blob TEXT NOT NULL,
    attributes TEXT NOT NULL, conditions TEXT NOT NULL, generation INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS triggers (
    bucket TEXT NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, headers TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, trigger_name TEXT NOT NULL, time TEXT NOT NULL,
    body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_MAX_NAME_BYTES = 1024
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SERVER_FIELDS = """
kind id selfLink mediaLink bucket name generation metageneration size timeCreated updated
timeFinalized timeDeleted timeStorageClassUpdated etag md5Hash crc32c componentCount acl owner
"""
_READ_ONLY = frozenset(_SERVER_FIELDS.split())


class Catalogue:
    """All that the server knows; one per data directory."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.blobs = Blobs(root)
        self.connection = sqlite3.connect(
            root / "catalogue.db", isolation_level=None, check_same_thread=False
        )
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(_SCHEMA)
        self._recover()

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's statements, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _recover(self) -> None:
        rows = self.connection.execute(
            "SELECT blob FROM objects UNION SELECT blob FROM sessions WHERE generation IS NULL"
        )
        self.blobs.remove_others({row["blob"] for row in rows})
        self.blobs.clear_mirror()
        for bucket in self.list_buckets():
            (self.blobs.mirror / bucket["name"]).mkdir()
        for row in self.connection.execute("SELECT bucket, name, blob FROM objects WHERE live"):
            self.blobs.link(row["bucket"], row["name"], row["blob"])

    def _tick(self) -> int:
        (last,) = self.connection.execute("SELECT last FROM clock").fetchone()
        tick = max(time.time_ns() // 1000, int(last) + 1)
        self.connection.execute("UPDATE clock SET last = ?", (tick,))
        return tick

    # -- buckets -------------------------------------------------------------------------

    def create_bucket(self, name: str, attributes: dict[str, Any]) -> dict[str, Any]:
        """A new bucket's resource; 409 when there is one of that name."""
        if not _BUCKET_NAME.fullmatch(name):
            raise invalid(f"Invalid bucket name: {name!r}")
        with self.transaction():
            now = self._tick()
            row = (name, 1, now, now, json.dumps(_writable(attributes)))
            try:
                self.connection.execute("INSERT INTO buckets VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError as error:
                message = "Your previous request to create the named bucket succeeded."
                raise Refusal(409, "conflict", "BucketAlreadyOwnedByYou", message) from error
        (self.blobs.mirror / name).mkdir(exist_ok=True)
        return self.get_bucket(name)

    def get_bucket(self, name: str) -> dict[str, Any]:
        """A bucket's resource; 404 when there is none."""
        row = self.connection.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise no_bucket()
        return _bucket_resource(row)

    def list_buckets(self) -> list[dict[str, Any]]:
        """Every bucket's resource, by name."""
        rows = self.connection.execute("SELECT * FROM buckets ORDER BY name")
        return [_bucket_resource(row) for row in rows]

    def patch_bucket(self, name: str, changes: dict[str, Any], replace: bool) -> dict[str, Any]:
        """Change a bucket's attributes; with ``replace``, those not named are dropped."""
        with self.transaction():
            bucket = self.get_bucket(name)
            kept = {} if replace else _writable(bucket)
            self.connection.execute(
                "UPDATE buckets SET metageneration = metageneration + 1, updated = ?,"
                " attributes = ? WHERE name = ?",
                (self._tick(), json.dumps(merge_patch(kept, _writable(changes))), name),
            )
        return self.get_bucket(name)

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket; 409 while it holds a generation of anything."""
        self.get_bucket(name)
        with self.transaction():
            sql = "SELECT 1 FROM objects WHERE bucket = ? LIMIT 1"
            if self.connection.execute(sql, (name,)).fetchone():
                message = "The bucket you tried to delete is not empty."
                raise Refusal(409, "conflict", "BucketNotEmpty", message)
            self.connection.execute("DELETE FROM buckets WHERE name = ?", (name,))
            self.connection.execute("DELETE FROM triggers WHERE bucket = ?", (name,))
        (self.blobs.mirror / name).rmdir()

    # -- objects -------------------------------------------------------------------------

    def find(self, bucket: str, name: str, generation: int | None = None) -> Stored | None:
        """The live generation, or the named one."""
        where = "live" if generation is None else "generation = ?"
        row = self.connection.execute(
            f"SELECT * FROM objects WHERE bucket = ? AND name = ? AND {where}",
            (bucket, name, *(() if generation is None else (generation,))),
        ).fetchone()
        return None if row is None else decode_object(row)

    def get(self, bucket: str, name: str, generation: int | None, conditions: Conditions) -> Stored:
        """As ``find``, but refuses: 404 for what is missing, 412 or 304 by ``conditions``."""
        stored = self.find(bucket, name, generation)
        if stored is None:
            self.get_bucket(bucket)
            raise no_object(bucket, name)
        conditions.check(stored, reading=True)
        return stored

    def write(
        self,
        bucket: str,
        name: str,
        blob_id: str,
        size: int,
        attributes: dict[str, Any],
        conditions: Conditions,
        session: str | None = None,
    ) -> Stored:
        """Make a complete blob the live generation of an object, and queue its events.

        Refuses with 412 by ``conditions``, 404 without a bucket, 400 for a bad name; the blob
        is then still the caller's. ``session`` is marked finished in the same transaction.
        """
        check_object_name(name)
        with self.transaction():
            versioned = self.get_bucket(bucket).get("versioning", {}).get("enabled", False)
            replaced = self.find(bucket, name)
            conditions.check(replaced)
            now = self._tick()
            if replaced is not None:
                self._retire(replaced, now, versioned)
            row = (bucket, name, now, 1, 1, now, now, None, blob_id, size, json.dumps(attributes))
            marks = ", ".join("?" * len(row))
            self.connection.execute(f"INSERT INTO objects VALUES ({marks})", row)
            stored = self.find(bucket, name)
            assert stored is not None
            self._queue_events(stored)
            self.connection.execute(
                "UPDATE sessions SET generation = ? WHERE id = ?", (now, session)
            )
        self.blobs.link(bucket, name, blob_id)
        if replaced is not None and not versioned:
            self.blobs.remove(replaced.blob)
        return stored

    def patch(
        self, stored: Stored, changes: dict[str, Any], replace: bool, conditions: Conditions
    ) -> Stored:
        """Change a generation's attributes; its metageneration goes up by one."""
        with self.transaction():
            current = self.find(stored.bucket, stored.name, stored.generation)
            if current is None:
                raise no_object(stored.bucket, stored.name)
            conditions.check(current)
            fixed = {k: v for k, v in current.attributes.items() if k in _READ_ONLY}
            kept = fixed if replace else current.attributes
            attributes = merge_patch(kept, _writable(changes))
            after = dataclasses.replace(
                current,
                metageneration=current.metageneration + 1,
                updated=self._tick(),
                attributes=attributes,
            )
            changed = (after.metageneration, after.updated, json.dumps(attributes))
            self.connection.execute(
                "UPDATE objects SET metageneration = ?, updated = ?, attributes = ?"
                " WHERE bucket = ? AND name = ? AND generation = ?",
                (*changed, after.bucket, after.name, after.generation),
            )
        return after

    def delete(
        self, bucket: str, name: str, generation: int | None, conditions: Conditions
    ) -> None:
        """Delete the named generation for good, or retire the live one."""
        with self.transaction():
            versioned = self.get_bucket(bucket).get("versioning", {}).get("enabled", False)
            stored = self.find(bucket, name, generation)
            if stored is None:
                raise no_object(bucket, name)
            conditions.check(stored)
            kept = versioned and generation is None
            self._retire(stored, self._tick(), kept)
        if stored.live:
            self.blobs.unlink(bucket, name)
        if not kept:
            self.blobs.remove(stored.blob)

    def _retire(self, stored: Stored, now: int, kept: bool) -> None:
        key = (stored.bucket, stored.name, stored.generation)
        where = "WHERE bucket = ? AND name = ? AND generation = ?"
        if kept:
            sql = f"UPDATE objects SET live = 0, deleted = ? {where}"
            self.connection.execute(sql, (now, *key))
        else:
            self.connection.execute(f"DELETE FROM objects {where}", key)

    def _queue_events(self, stored: Stored) -> None:
        time_created, body = format_time(stored.created), json.dumps(stored.as_resource())
        sql = "SELECT name FROM triggers WHERE bucket = ?"
        for row in self.connection.execute(sql, (stored.bucket,)).fetchall():
            self.connection.execute(
                "INSERT INTO outbox (id, bucket, trigger_name, time, body) VALUES (?, ?, ?, ?, ?)",
                (uuid.uuid4().hex, stored.bucket, row["name"], time_created, body),
            )

    # -- resumable sessions --------------------------------------------------------------

    def create_session(
        self, bucket: str, name: str, attributes: dict[str, Any], conditions: Conditions
    ) -> Session:
        """Begin a resumable upload; preconditions are checked now and again at its end."""
        check_object_name(name)
        self.get_bucket(bucket)
        conditions.check(self.find(bucket, name))
        blob = self.blobs.create()
        blob.close()
        session = Session(uuid.uuid4().hex, bucket, name, blob.id, attributes, conditions, None)
        encoded = (json.dumps(attributes), json.dumps(dataclasses.asdict(conditions)))
        self.connection.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (session.id, bucket, name, blob.id, *encoded),
        )
        return session

    def get_session(self, session_id: str) -> Session:
        """A session; 404 when it is unknown or was cancelled."""
        sql = "SELECT * FROM sessions WHERE id = ?"
        row = self.connection.execute(sql, (session_id,)).fetchone()
        if row is None:
            raise Refusal(404, "notFound", "NoSuchUpload", "The upload session was not found.")
        decoded = {"attributes": json.loads(row["attributes"])}
        conditions = Conditions(**json.loads(row["conditions"]))
        return Session(**{**dict(row), **decoded, "conditions": conditions})

    def cancel_session(self, session_id: str) -> None:
        """Forget a session and its bytes."""
        session = self.get_session(session_id)
        self.connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        if session.generation is None:
            self.blobs.remove(session.blob)


def decode_object(row: sqlite3.Row) -> Stored:
    """A row of ``objects``."""
    attributes = json.loads(row["attributes"])
    return Stored(**{**dict(row), "live": bool(row["live"]), "attributes": attributes})


def check_object_name(name: str) -> None:
    """Refuse a name that no object may have."""
    if not 0 < len(name.encode()) <= _MAX_NAME_BYTES or name in (".", ".."):
        raise invalid(f"{name!r} is no object name: it needs 1 to {_MAX_NAME_BYTES} bytes")
    if (
        "\r" in name
        or "\n" in name
        or "\0" in name
        or name.startswith(".well-known/acme-challenge/")
    ):
        raise invalid(f"{name!r} is no object name")


def select_attributes(resource: dict[str, Any]) -> dict[str, Any]:
    """What a client may set of an object, of what it sent."""
    return {key: value for key, value in _writable(resource).items() if value is not None}


def merge_patch(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396: null removes, an object is merged, all else replaces."""
    after = dict(before)
    for key, value in changes.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            nested = after.get(key)
            after[key] = merge_patch(nested if isinstance(nested, dict) else {}, value)
        else:
            after[key] = value
    return after


def _writable(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in _READ_ONLY}


def _bucket_resource(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": row["name"],
        "name": row["name"],
        "selfLink": f"/storage/v1/b/{row['name']}",
        "projectNumber": "0",
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        **json.loads(row["attributes"]),
        "metageneration": str(row["metageneration"]),
        "timeCreated": format_time(row["created"]),
        "updated": format_time(row["updated"]),
        "etag": str(row["metageneration"]),
    }
