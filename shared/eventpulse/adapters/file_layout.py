"""Where a file object store keeps what, and the few durable steps that its writers share.

On disk
-------
::

    <root>/<bucket>/<path>                           pointer: symbolic link to the live content
    <root>/.generations/<bucket>/<path>@<g>          content of generation g (mode 0444)
    <root>/.generations/<bucket>/<path>@<g>.json     its document: all that a StoredObject says
    <root>/.generations/<bucket>/<path>@<g>.kept     (raw) g was live once and stays readable
    <root>/.outbox/<id>.json                         (raw) the document of a finalize to announce
    <root>/.writing/<id>.json, <id>.data, <id>.link  an operation under way, or a killed one's rests
    <root>/.deleted/<bucket>                         greatest generation that was ever deleted
    <root>/.locks/<00..ff>                           one flock per stripe of names; never removed
    <root>/.locks/<bucket>                           flock of .deleted/<bucket>

`<path>` is `file_names.object_path` of the name. Only the pointer, `.deleted` and the folders of
work under way ever change; content and documents are written once.

Invariants
----------
1. A generation is visible exactly when the pointer names it or, in raw, when it is kept. Moving the
   pointer (one rename, one unlink) is the commit point of every write and delete.
2. The pointer moves only under the name's stripe lock, and what it will name is whole and durable
   before: content, document, outbox entry, folders. A generation is kept before the pointer leaves
   it.
3. Generations of a name only grow: each is the time in microseconds, raised above the pointer's
   or, without a pointer, above the greatest that was deleted from the bucket (written before the
   pointer goes). A number whose files exist is skipped.
4. `<id>.json` is flocked by its operation from its creation on. So whoever gets that lock knows
   that the operation is dead, and may remove its rests: the generations that its intent names,
   unless they are visible, and its own files.
5. An outbox entry is made and its pointer moved within one hold of the stripe lock. So whoever gets
   that lock sees whether the entry's object appeared, for good.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from eventpulse.adapters import file_names
from eventpulse.errors import BackendUnavailable
from eventpulse.ports import BUCKETS, Bucket, ObjectRef, StoredObject

_POINTED = re.compile(r"@([0-9]{1,19})\Z")
_DOCUMENT = re.compile(r"([^@]+)@([0-9]{1,19})\.json\Z")
_FAULTS_THAT_MAY_PASS = {
    *(errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOLCK, errno.ENOMEM, errno.ENOSPC, errno.ESTALE),
}


@contextlib.contextmanager
def file_faults(operation: str) -> Iterator[None]:
    """Raise BackendUnavailable for what may pass (disk full, too many files), the rest as it is."""
    try:
        yield
    except OSError as fault:
        if fault.errno in _FAULTS_THAT_MAY_PASS:
            raise BackendUnavailable("The file object store", operation, fault) from fault
        raise


def sync_folder(path: str) -> None:
    """Make the entries of a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: str) -> None:
    """Make a folder and those above it, durably; one that exists is fine."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(above)


@dataclass(frozen=True, slots=True)
class Document:
    """What a generation's JSON says. `replaces` is the generation that was live before it.

    `generation` is None in the intent of a deletion.
    """

    bucket: Bucket
    name: str
    generation: int | None
    replaces: int | None = None
    size: int = 0
    md5: str | None = None
    content_type: str = ""
    created: str = ""
    metadata: Mapping[str, str] | None = None

    def dump(self) -> bytes:
        values = {slot: getattr(self, slot) for slot in self.__slots__}
        return json.dumps(values, ensure_ascii=False, indent=1).encode()

    @classmethod
    def load(cls, text: bytes) -> Document:
        values: dict[str, Any] = json.loads(text)
        return cls(**values)

    def finalized(self, generation: int, replaces: int | None, created: datetime) -> Document:
        """This draft, with what is known once its turn has come."""
        return dataclasses.replace(
            self, generation=generation, replaces=replaces, created=created.isoformat()
        )

    def stored(self) -> StoredObject:
        if self.generation is None:
            raise ValueError(f"A deletion of {self.name!r} is not a stored object.")
        return StoredObject(
            ref=ObjectRef(self.bucket, self.name, self.generation),
            size=self.size,
            created=datetime.fromisoformat(self.created),
            content_type=self.content_type,
            md5=self.md5,
            metadata=self.metadata or {},
        )


class Layout:
    """The paths below one root. `root` is absolute; folders are made when they are needed."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.generations = os.path.join(root, ".generations")
        self.outbox = os.path.join(root, ".outbox")
        self.writing = os.path.join(root, ".writing")
        self.deleted = os.path.join(root, ".deleted")
        self._locks = os.path.join(root, ".locks")

    @cached_property
    def _safe(self) -> frozenset[int]:
        make_folder(self._locks)
        folded = os.path.exists(os.path.join(self.root, ".LOCKS"))
        return file_names.SAFE_FOLDED if folded else file_names.SAFE

    def _path(self, bucket: Bucket, name: str) -> str:
        if bucket not in BUCKETS:
            raise ValueError(f"{bucket!r} is not one of the buckets {', '.join(BUCKETS)}.")
        return os.path.join(bucket, *file_names.object_path(name, self._safe).split("/"))

    def pointer(self, bucket: Bucket, name: str) -> str:
        """The path that people and other programs read: it leads to the live content."""
        return os.path.join(self.root, self._path(bucket, name))

    def content(self, ref: ObjectRef) -> str:
        path = self._path(ref.bucket, ref.name)
        return os.path.join(self.generations, f"{path}@{ref.generation}")

    def document(self, ref: ObjectRef) -> str:
        return self.content(ref) + ".json"

    def kept(self, ref: ObjectRef) -> str:
        return self.content(ref) + ".kept"

    def target(self, ref: ObjectRef) -> str:
        """What the pointer says when `ref` is live: relative, so that the root can be moved."""
        pointer = self.pointer(ref.bucket, ref.name)
        return os.path.relpath(self.content(ref), os.path.dirname(pointer))

    @contextlib.contextmanager
    def locked(self, bucket: Bucket, name: str) -> Iterator[None]:
        """Hold the stripe lock of a name, against threads and processes alike."""
        stripe = hashlib.sha256(self._path(bucket, name).encode()).hexdigest()[:2]
        with self._locked(stripe):
            yield

    @contextlib.contextmanager
    def locked_bucket(self, bucket: Bucket) -> Iterator[None]:
        """Hold the lock of what is deleted in a bucket; stripe locks are taken before it."""
        with self._locked(bucket):
            yield

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = os.open(
            os.path.join(self._locks, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def live(self, bucket: Bucket, name: str) -> int | None:
        """The generation that the pointer names; None when there is no object."""
        try:
            target = os.readlink(self.pointer(bucket, name))
        except OSError as fault:
            # EINVAL: something that is not a link, so not the store's own, is in the place.
            if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
                return None
            raise
        match = _POINTED.search(target)
        return int(match[1]) if match else None

    def visible(self, ref: ObjectRef) -> bool:
        """Whether a reader may see this generation (invariant 1)."""
        if self.live(ref.bucket, ref.name) == ref.generation:
            return True
        return ref.bucket == "raw" and os.path.exists(self.kept(ref))

    def read(self, ref: ObjectRef) -> Document | None:
        """The document of a visible generation."""
        if not self.visible(ref):
            return None
        try:
            with open(self.document(ref), "rb") as file:
                return Document.load(file.read())
        except FileNotFoundError:
            return None  # replaced or deleted, outside raw, since it was found visible

    def names(self, bucket: Bucket, prefix: bytes, after: bytes) -> Iterator[str]:
        """Names of live objects in byte order; one folder per level is in memory at a time."""
        top = os.path.join(self.root, bucket)
        for entry in _walk(top, prefix, after, _read_pointer):
            name = entry.key.decode(errors="replace")
            if name and self.pointer(bucket, name) == entry.path:  # else a stranger's link
                yield name

    def placed(self, bucket: Bucket, prefix: bytes, after: bytes) -> Iterator[ObjectRef]:
        """Generations that have a document, visible or not: by name as `names`, then by number."""
        top = os.path.join(self.generations, bucket)
        for entry in _walk(top, prefix, after, _read_document):
            ref = ObjectRef(bucket, entry.key.decode(errors="replace"), entry.generation)
            if ref.name and self.document(ref) == entry.path:  # else a stranger's file
                yield ref


class _Entry(NamedTuple):
    """What a folder holds, in the order of listings. `key` is the object's name, or what the names
    below a folder begin with."""

    key: bytes
    generation: int
    path: str
    is_folder: bool


_Reader = Callable[["os.DirEntry[str]"], tuple[str, int] | None]
"""The object's component of a path, and its generation; None for what stands for no object."""


def _read_pointer(entry: os.DirEntry[str]) -> tuple[str, int] | None:
    return (entry.name, 0) if entry.is_symlink() else None


def _read_document(entry: os.DirEntry[str]) -> tuple[str, int] | None:
    match = _DOCUMENT.match(entry.name)
    return (match[1], int(match[2])) if match else None


def _walk(top: str, prefix: bytes, after: bytes, read: _Reader) -> Iterator[_Entry]:
    """The objects below a folder whose key starts with `prefix` and is greater than `after`."""
    open_folders = [iter(sorted(_scan(top, b"", read)))]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif entry.is_folder:
            if _may_hold(entry.key, prefix, after):
                open_folders.append(iter(sorted(_scan(entry.path, entry.key, read))))
        elif entry.key.startswith(prefix) and entry.key > after:
            yield entry


def _scan(folder: str, head: bytes, read: _Reader) -> Iterator[_Entry]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            found = read(entry)
            if found is not None:
                key = head + file_names.object_key(found[0])
                yield _Entry(key, found[1], entry.path, False)
            elif entry.is_dir():
                key = head + file_names.folder_key(entry.name)
                if entry.name.endswith(file_names.CONTINUED):
                    yield from _scan(entry.path, key, read)
                else:
                    yield _Entry(key, 0, entry.path, True)


def _may_hold(folder: bytes, prefix: bytes, after: bytes) -> bool:
    related = folder.startswith(prefix) or prefix.startswith(folder)
    return related and (folder > after or after.startswith(folder))
