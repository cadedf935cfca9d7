"""The uploader: claim, put, commit, receipt; then, and only then, the batch leaves the disk.

Whatever goes wrong is tried again for ever, with the same bytes under the same name. The one thing
that ends a batch is the server's own word that it will never take it: then it is halved until the
bad event stands alone, and that one is set apart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from eventpulse_edge.backoff import Backoff
from eventpulse_edge.batches import Batch, hash_md5
from eventpulse_edge.server import Refused, Server, Unreachable
from eventpulse_edge.spool import Spool

IDLE_SECONDS = 5.0
DISK_SECONDS = 10.0
REFUSES_BATCH = frozenset({400, 413, 422})
TAKEN = frozenset({"batch_conflict", "content_differs"})
"""What was read from the disk is whole: it can only arrive under other numbers."""
CONTENT_TYPE = "application/gzip"

_log = logging.getLogger("eventpulse.edge.uploader")


class Uploader:
    """One thread's work."""

    def __init__(self, spool: Spool, server: Server, *, backoff: Backoff | None = None) -> None:
        self._spool = spool
        self._server = server
        self._backoff = backoff or Backoff()
        self._wake = threading.Event()
        self._told_to_wait = False
        """The server said for how long: an alarm does not cut that short."""
        self.sent = 0
        self.problem: str | None = None
        """What the last try met; None when it worked."""

    def wake(self) -> None:
        """Something urgent waits: do not wait out a pause of one's own."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            pause = self.step()
            if pause > 0 and self._told_to_wait:
                stop.wait(pause)
            elif pause > 0:
                self._wake.wait(pause)
                self._wake.clear()
        self._server.close()

    def step(self) -> float:
        """Send at most one batch; how many seconds to wait then (0: go on)."""
        self._told_to_wait = False
        try:
            self._server.ensure_time()  # without it nothing can be sealed either
            batch = self._spool.next_batch()
            if batch is None:
                return IDLE_SECONDS
            content = self._spool.read(batch)
            if content is None:
                return 0.0
            self._send(batch, content)
        except Unreachable as error:
            self._told_to_wait = error.retry_after is not None
            pause = self._backoff.fail(error.retry_after)
            self._note_problem(str(error), pause)
            return pause
        except OSError as error:
            self._note_problem(f"the disk refuses: {error}", DISK_SECONDS)
            return DISK_SECONDS
        self._backoff.succeed()
        self.problem = None
        return 0.0

    def _note_problem(self, problem: str, pause: float) -> None:
        level = logging.WARNING if self.problem is None else logging.DEBUG
        fields = {"problem": problem, "wait": round(pause, 1)}
        _log.log(level, "cannot send; trying again", extra={"fields": fields})
        self.problem = problem

    def _send(self, batch: Batch, content: bytes) -> None:
        try:
            answer = self._claim(batch, content)
            if answer.get("state") != "committed":
                self._put(answer, content)
                answer = self._commit(batch)
            self._check_receipt(batch, answer)
        except Refused as error:
            self._take_refusal(batch, content, error)
            return
        self._spool.remove(batch, len(content))
        self.sent += 1
        _log.info(
            "batch delivered",
            extra={"fields": {"epoch": batch.epoch, "first": batch.first, "last": batch.last}},
        )

    def _claim(self, batch: Batch, content: bytes) -> Mapping[str, Any]:
        before = batch.predecessor
        claim = {
            "epoch": batch.epoch,
            "first": batch.first,
            "last": batch.last,
            "count": batch.rows,
            "prev_last": batch.first - 1 if batch.first > 1 else None,
            "epoch_predecessor": before and {"epoch": before.epoch, "last": before.last},
            "bytes": len(content),
            "sha256": batch.sha256,
            "md5": hash_md5(content),
            "alarm": batch.alarm,
            "content_type": CONTENT_TYPE,
        }
        return self._server.call("POST", "/batches", claim).document

    def _put(self, upload: Mapping[str, Any], content: bytes) -> None:
        try:
            method, url, headers = upload["method"], upload["url"], upload["headers"]
        except KeyError as error:
            raise Unreachable(f"the answer to the claim has no {error}") from error
        status = self._server.put(str(method), str(url), headers, content)
        if 200 <= status < 300 or status == 412:  # there, or so it says: the commit will tell
            return
        raise Unreachable(f"the object store answered HTTP {status} to the upload")

    def _commit(self, batch: Batch) -> Mapping[str, Any]:
        path = f"/batches/{batch.epoch}/{batch.first}-{batch.last}/commit"
        return self._server.call("POST", path, {"sha256": batch.sha256}).document

    def _check_receipt(self, batch: Batch, answer: Mapping[str, Any]) -> None:
        receipt = answer.get("receipt")
        named = receipt.get("sha256") if isinstance(receipt, Mapping) else None
        if answer.get("state") != "committed" or named != batch.sha256:
            raise Unreachable("the receipt does not name the batch that was sent")

    def _take_refusal(self, batch: Batch, content: bytes, error: Refused) -> None:
        fields = {"batch": batch.name, "status": error.status, "code": error.code}
        if error.code in TAKEN:
            _log.error(
                "other events are stored under these numbers (a cloned card?)",
                extra={"fields": fields},
            )
            self._spool.renumber(batch, content)
        elif error.status in REFUSES_BATCH:
            _log.warning("the server refuses a batch: halving it", extra={"fields": fields})
            self._spool.split(batch, content, str(error))
        else:
            raise Unreachable(str(error)) from error
