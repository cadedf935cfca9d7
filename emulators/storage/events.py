"""Finalize events: from the outbox to the functions, at least once, as Eventarc delivers them.

A delivery is a row of the outbox, written in the transaction of the object it tells of. A 2xx
removes the row; any other answer, or none, leaves it due again after a backoff that doubles. A
restart finds what is left. The order of deliveries is no promise.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import requests

from emulators.storage.catalogue import Catalogue

EVENT_TYPE = "google.cloud.storage.object.v1.finalized"
_CONCURRENT = 16
# Eventarc gives a handler ten minutes.
_TIMEOUT_SECONDS = 600
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """Seconds before the next attempt: ``least`` doubling up to ``most``."""

    least: float
    most: float

    def after(self, attempts: int) -> float:
        """The wait after that many failed attempts, 1 or more."""
        return min(self.most, self.least * 2.0 ** min(attempts - 1, 30))


@dataclass(frozen=True)
class Trigger:
    """Where events go, and the headers that say who sends them (Eventarc's is a token)."""

    url: str
    headers: Mapping[str, str]


class Outbox:
    """The rows: triggers, and the deliveries that they owe."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._connection = catalogue.connection

    def set_triggers(self, bucket: str, triggers: Mapping[str, Trigger]) -> None:
        """Make ``triggers`` the bucket's, by their names.

        What a trigger still owes goes to its new address, at once; what a trigger that is no
        longer there owed is dropped.
        """
        self._catalogue.get_bucket(bucket)
        with self._catalogue.transaction():
            self._connection.execute("DELETE FROM triggers WHERE bucket = ?", (bucket,))
            for name, trigger in triggers.items():
                row = (bucket, name, trigger.url, json.dumps(dict(trigger.headers)))
                self._connection.execute("INSERT INTO triggers VALUES (?, ?, ?, ?)", row)
            self._connection.execute(
                "DELETE FROM outbox WHERE bucket = ? AND trigger_name NOT IN"
                " (SELECT name FROM triggers WHERE bucket = ?)",
                (bucket, bucket),
            )
            self._connection.execute("UPDATE outbox SET due = 0 WHERE bucket = ?", (bucket,))

    def get_triggers(self, bucket: str) -> dict[str, str]:
        """Trigger name -> address."""
        sql = "SELECT name, url FROM triggers WHERE bucket = ?"
        return {row["name"]: row["url"] for row in self._connection.execute(sql, (bucket,))}

    def count(self) -> int:
        """Deliveries that are owed."""
        return int(self._connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def list_due(self, now: float) -> list[sqlite3.Row]:
        """Deliveries whose time has come, the oldest first."""
        return self._connection.execute(
            "SELECT outbox.*, triggers.url, triggers.headers FROM outbox JOIN triggers ON"
            " triggers.bucket = outbox.bucket AND triggers.name = outbox.trigger_name"
            " WHERE due <= ? ORDER BY due, time",
            (now,),
        ).fetchall()

    def next_due(self) -> float | None:
        """When the next delivery is due, in epoch seconds."""
        (due,) = self._connection.execute("SELECT min(due) FROM outbox").fetchone()
        return None if due is None else float(due)

    def settle(self, delivery: sqlite3.Row, done: bool, backoff: Backoff) -> None:
        """Remove a delivery that was answered with 2xx; put off another."""
        if done:
            self._connection.execute("DELETE FROM outbox WHERE id = ?", (delivery["id"],))
            return
        attempts = delivery["attempts"] + 1
        self._connection.execute(
            "UPDATE outbox SET attempts = ?, due = ? WHERE id = ?",
            (attempts, time.time() + backoff.after(attempts), delivery["id"]),
        )


class Dispatcher:
    """Delivers what is due, on the server's event loop; each call has a thread of its own."""

    def __init__(self, outbox: Outbox, backoff: Backoff) -> None:
        self._outbox = outbox
        self._backoff = backoff
        self._wake = asyncio.Event()
        self._in_flight: set[str] = set()

    def wake(self) -> None:
        """Look at the outbox now: something was put in."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._wake.clear()
            now = time.time()
            for delivery in self._outbox.list_due(now):
                if len(self._in_flight) < _CONCURRENT and delivery["id"] not in self._in_flight:
                    self._start(delivery)
            await self._wait()

    async def _wait(self) -> None:
        """Until woken, or until the next delivery that is not under way is due."""
        due = self._outbox.next_due()
        blocked = due is not None and due <= time.time()
        timeout = None if due is None or blocked else due - time.time()
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return

    def _start(self, delivery: sqlite3.Row) -> None:
        self._in_flight.add(delivery["id"])
        loop = asyncio.get_running_loop()

        def report(done: bool) -> None:
            self._in_flight.discard(delivery["id"])
            self._outbox.settle(delivery, done, self._backoff)
            self.wake()

        def call() -> None:
            done = post_event(delivery)
            # The loop may be gone: the process is stopping, and the row stays.
            if not loop.is_closed():
                _call_soon(loop, report, done)

        # A daemon: a handler that takes its time does not keep the process from stopping.
        threading.Thread(target=call, daemon=True).start()


def _call_soon(loop: asyncio.AbstractEventLoop, report: Callable[[bool], None], done: bool) -> None:
    try:
        loop.call_soon_threadsafe(report, done)
    except RuntimeError:
        _logger.info("the loop ended before a delivery was settled; it will be made again")


def post_event(delivery: sqlite3.Row) -> bool:
    """Post one event in CloudEvents' binary mode; True when the answer is 2xx."""
    resource = json.loads(delivery["body"])
    headers = {
        **json.loads(delivery["headers"]),
        "content-type": "application/json; charset=utf-8",
        "ce-specversion": "1.0",
        "ce-id": delivery["id"],
        "ce-type": EVENT_TYPE,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{resource['bucket']}",
        # Header values outside printable ASCII are percent-encoded, as CloudEvents has it.
        "ce-subject": f"objects/{quote(resource['name'], safe=_HEADER_SAFE)}",
        "ce-time": delivery["time"],
        "ce-bucket": resource["bucket"],
    }
    try:
        response = requests.post(
            delivery["url"], data=delivery["body"], headers=headers, timeout=_TIMEOUT_SECONDS
        )
    except requests.RequestException as error:
        _logger.warning("event %s not delivered to %s: %s", delivery["id"], delivery["url"], error)
        return False
    if not response.ok:
        _logger.warning(
            "event %s answered %s by %s", delivery["id"], response.status_code, delivery["url"]
        )
    return response.ok


_HEADER_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
