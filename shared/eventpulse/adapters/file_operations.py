"""Writes and deletes under way in a file object store: begun, settled, and swept after a kill.

The states that an operation passes, and what is left of it when its process is killed there:

1. begun: an empty flocked intent, perhaps content; nothing else. Swept.
2. intended: the intent names the generations that it makes and replaces; the new one is being
   placed and announced, and is not visible. Swept; the outbox entry is dropped by the delivery.
3. committed: the pointer has moved. What it replaced outside raw is swept; the event is delivered.
4. settled: no trace.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import time
import uuid
from base64 import b64encode
from typing import TYPE_CHECKING, BinaryIO

from eventpulse.adapters.file_layout import Document, Layout, file_faults, make_folder, sync_folder
from eventpulse.ports import ObjectRef, StoredObject

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER_BYTES = 1 << 20


class FileWriter(io.RawIOBase):
    """The sink of one write: counts and digests what passes. Closing it does not commit."""

    stored: StoredObject

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = 0

    @property
    def md5(self) -> str:
        """MD5 of what was written until now, base64."""
        return b64encode(self._digest.digest()).decode()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: ReadableBuffer, /) -> int:
        if self.closed:
            raise ValueError("The object is already written.")
        with file_faults("write an object"):
            count = self._file.write(data)
        self._digest.update(data)
        self.size += count
        return count


class Operation:
    """One write or delete: `.writing/<id>.*` while the context is open, and settled behind it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._intended: Document | None = None

    def __enter__(self) -> Operation:
        make_folder(self._layout.writing)
        lock: int | None = None
        while lock is None:
            self._id = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
            self._base = os.path.join(self._layout.writing, self._id)
            lock = _begin(self._base + ".json")
        self._intent = lock
        return self

    def __exit__(self, *_: object) -> None:
        # What cannot be removed now is swept later, and changes nothing about how this ended.
        try:
            with contextlib.suppress(OSError):
                if self._intended is not None:
                    settle(self._layout, self._intended)
                _remove_rests(self._base)
        finally:
            os.close(self._intent)

    def open_content(self) -> BinaryIO:
        """The file that becomes the content."""
        return open(self._base + ".data", "xb", buffering=_BUFFER_BYTES)

    def seal_content(self, file: BinaryIO) -> None:
        """Make the content durable and read-only."""
        file.flush()
        os.fchmod(file.fileno(), 0o444)
        os.fsync(file.fileno())

    def intend(self, document: Document) -> None:
        """Write down, durably, which generations this operation is about to make and replace."""
        self._intended = document
        with open(self._intent, "wb", closefd=False) as file:
            file.write(document.dump())
        os.fchmod(self._intent, 0o444)
        os.fsync(self._intent)

    def place(self, ref: ObjectRef) -> None:
        """Put content and document under their generation; nobody sees them yet."""
        content = self._layout.content(ref)
        make_folder(os.path.dirname(content))
        os.link(self._base + ".data", content)
        os.link(self._base + ".json", self._layout.document(ref))
        sync_folder(os.path.dirname(content))

    def announce(self) -> None:
        """Put the finalize into the outbox; it counts once the object is visible."""
        make_folder(self._layout.outbox)
        os.link(self._base + ".json", os.path.join(self._layout.outbox, self._id + ".json"))
        sync_folder(self._layout.outbox)

    def keep(self, ref: ObjectRef) -> None:
        """Let a raw generation stay visible when the pointer leaves it."""
        kept = self._layout.kept(ref)
        with contextlib.suppress(FileExistsError):
            os.link(self._layout.document(ref), kept)
        sync_folder(os.path.dirname(kept))

    def point(self, ref: ObjectRef) -> None:
        """Commit a write: the pointer names `ref`."""
        pointer = self._layout.pointer(ref.bucket, ref.name)
        make_folder(os.path.dirname(pointer))
        os.symlink(self._layout.target(ref), self._base + ".link")
        os.rename(self._base + ".link", pointer)
        sync_folder(os.path.dirname(pointer))

    def unpoint(self, ref: ObjectRef) -> None:
        """Commit a delete: there is no pointer."""
        pointer = self._layout.pointer(ref.bucket, ref.name)
        os.unlink(pointer)
        sync_folder(os.path.dirname(pointer))


def settle(layout: Layout, intended: Document) -> None:
    """Remove the generations of an ended operation that nobody may see."""
    with layout.locked(intended.bucket, intended.name):
        for generation in (intended.generation, intended.replaces):
            if generation is None:
                continue
            ref = ObjectRef(intended.bucket, intended.name, generation)
            if not layout.visible(ref):
                _remove(layout.document(ref), layout.content(ref))


def sweep(layout: Layout) -> None:
    """Settle the operations whose process is gone, and remove their rests."""
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.listdir(layout.writing)):
            base, extension = os.path.splitext(os.path.join(layout.writing, entry))
            if extension == ".json":
                _sweep_one(layout, base)


def _sweep_one(layout: Layout, base: str) -> None:
    with (
        contextlib.suppress(FileNotFoundError, BlockingIOError),
        open(base + ".json", "rb") as intent,
    ):
        fcntl.flock(intent, fcntl.LOCK_EX | fcntl.LOCK_NB)  # blocked: it is alive
        text = intent.read()
        # A torn intent was never acted upon: it is durable before anything is placed.
        if text.endswith(b"}"):
            settle(layout, Document.load(text))
        _remove_rests(base)


def _begin(path: str) -> int | None:
    """A new, empty, flocked file; None when a sweep was quicker and took it for a dead one's."""
    intent = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(intent, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(intent)
        return None
    if os.fstat(intent).st_nlink == 0:
        os.close(intent)
        return None
    return intent


def _remove_rests(base: str) -> None:
    _remove(base + ".data", base + ".link", base + ".json")  # the intent last: it finds the others


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
