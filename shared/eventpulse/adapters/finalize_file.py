"""Announces the finalizes of a file object store, as Eventarc announces those of Cloud Storage.

Invariants
----------
- Every raw generation that became visible is POSTed until it is answered 2xx, then its outbox entry
  goes: at least once, in no order, also when this process is killed and started again.
- Nothing that did not become visible is announced: an entry is judged under the stripe lock that
  its writer held (`file_layout`, invariant 5).
- A failing entry waits without a worker, so it never delays the others.
- Redeliveries carry the same `ce-id`.
"""

from __future__ import annotations

import contextlib
import heapq
import http.client
import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from watchdog.events import FileCreatedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from eventpulse.adapters.file_layout import Document, Layout, make_folder
from eventpulse.adapters.file_operations import sweep

_logger = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_RESCAN = ""  # in the place of an entry: look at the whole outbox, should a notice have been missed
_RESCAN_SECONDS = 60.0
# What an HTTP header may hold as it is; the rest is percent-encoded (CloudEvents' HTTP binding).
_HEADER_SAFE = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def finalize_event(document: Document) -> tuple[dict[str, str], bytes]:
    """The headers and the JSON body of the CloudEvent (binary mode) of one finalize."""
    stored = document.stored()
    bucket, name, generation = stored.ref.bucket, stored.ref.name, str(stored.ref.generation)
    at = stored.created.isoformat(timespec="microseconds").replace("+00:00", "Z")
    source = f"//storage.googleapis.com/projects/_/buckets/{bucket}"
    subject = f"objects/{name}"
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{source}/{subject}#{generation}")),
        "ce-source": source,
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-subject": quote(subject, safe=_HEADER_SAFE),
        "ce-time": at,
        "content-type": "application/json",
    }
    data = {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{generation}",
        "bucket": bucket,
        "name": name,
        "generation": generation,
        "metageneration": "1",
        "contentType": stored.content_type,
        "timeCreated": at,
        "updated": at,
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "md5Hash": stored.md5,
        "metadata": dict(stored.metadata),
    }
    return headers, json.dumps(data).encode()


class FinalizeDelivery:
    """Delivers the outbox below `root` to `url`, from threads of its own, between start and stop.

    `headers` go with every request. At most `concurrency` requests are under way. Two deliveries on
    one root are safe, and deliver some events twice.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        concurrency: int = 8,
        timeout: float = 600.0,
        first_delay: float = 0.2,
        longest_delay: float = 60.0,
    ) -> None:
        self._layout = Layout(os.path.abspath(root))
        self._url = urlsplit(url)
        self._headers = dict(headers or {})
        self._concurrency = concurrency
        self._timeout = timeout
        self._delays = (first_delay, longest_delay)
        self._changed = threading.Condition()
        self._due: list[tuple[float, str]] = []
        self._known: dict[str, int] = {}  # entries waiting or under way, and how often each failed
        self._connections: set[http.client.HTTPConnection] = set()
        self._stopping = False
        self._workers: list[threading.Thread] = []
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Take up what is there, and await what comes."""
        make_folder(self._layout.outbox)
        sweep(self._layout)
        self._stopping = False
        observer = Observer()
        observer.schedule(_Notices(self), self._layout.outbox, event_filter=[FileCreatedEvent])
        observer.start()
        self._observer = observer
        self._put(_RESCAN)
        self._workers = [
            threading.Thread(target=self._work, name=f"finalize-{number}", daemon=True)
            for number in range(self._concurrency)
        ]
        for worker in self._workers:
            worker.start()

    def stop(self, grace: float = 5.0) -> None:
        """Let requests under way end for `grace` seconds, then cut them; what is left is kept."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
        end = time.monotonic() + grace
        for worker in self._workers:
            worker.join(max(0.0, end - time.monotonic()))
        with self._changed:
            for connection in self._connections:
                if connection.sock is not None:  # else the answer is there already
                    with contextlib.suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)
        for worker in self._workers:
            worker.join()
        self._due.clear()
        self._known.clear()

    def __enter__(self) -> FinalizeDelivery:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pending(self) -> int:
        """How many entries wait or are under way."""
        try:
            return len(os.listdir(self._layout.outbox))
        except FileNotFoundError:
            return 0

    def notice(self, entry: str) -> None:
        """There is an entry of this name in the outbox."""
        with self._changed:
            if entry not in self._known:
                self._known[entry] = 0
                self._put(entry)

    def _put(self, entry: str, delay: float = 0.0) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay, entry))
            self._changed.notify()

    def _take(self) -> str | None:
        """The next entry that is due; None when it is time to stop."""
        with self._changed:
            while not self._stopping:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[1]
                self._changed.wait(wait)
            return None

    def _work(self) -> None:
        while (entry := self._take()) is not None:
            if entry == _RESCAN:
                for name in sorted(os.listdir(self._layout.outbox)):
                    self.notice(name)
                self._put(_RESCAN, _RESCAN_SECONDS)
                continue
            try:
                self._deliver(entry)
            except (OSError, http.client.HTTPException, _Refused) as fault:
                self._put_again(entry, fault)
            except Exception as fault:
                _logger.exception("The outbox entry %s cannot be read.", entry)
                self._put_again(entry, fault)
            else:
                with self._changed:
                    self._known.pop(entry, None)

    def _put_again(self, entry: str, fault: Exception) -> None:
        with self._changed:
            failed = self._known.get(entry, 0)
            self._known[entry] = failed + 1
        first, longest = self._delays
        delay = random.uniform(0, min(longest, first * 2 ** min(failed, 30)))
        if isinstance(fault, _Refused):
            delay = max(delay, fault.retry_after)
        _logger.warning(
            "The finalize event %s was not taken, try again in %.1f s: %s", entry, delay, fault
        )
        self._put(entry, delay)

    def _deliver(self, entry: str) -> None:
        path = os.path.join(self._layout.outbox, entry)
        try:
            with open(path, "rb") as file:
                document = Document.load(file.read())
        except FileNotFoundError:
            return  # delivered by somebody else
        ref = document.stored().ref
        with self._layout.locked(ref.bucket, ref.name):
            visible = self._layout.visible(ref)
        if visible:
            self._post(*finalize_event(document))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _post(self, headers: Mapping[str, str], body: bytes) -> None:
        https = self._url.scheme == "https"
        connect = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = connect(self._url.netloc, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
            connection.sock.settimeout(self._timeout)
            with self._changed:
                if self._stopping:
                    raise _Refused("stopping")
                self._connections.add(connection)
            target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
            connection.request("POST", target, body, {**self._headers, **headers})
            answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                after = answer.getheader("retry-after", "")
                raise _Refused(f"HTTP {answer.status}", float(after) if after.isdecimal() else 0.0)
        finally:
            with self._changed:
                self._connections.discard(connection)
            connection.close()


class _Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class _Notices(FileSystemEventHandler):
    def __init__(self, delivery: FinalizeDelivery) -> None:
        self._delivery = delivery

    def on_created(self, event: FileSystemEvent) -> None:
        self._delivery.notice(os.path.basename(os.fsdecode(event.src_path)))
