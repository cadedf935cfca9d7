"""The files that hold the bytes: written once, hashed on the way, linked into the mirror."""

from __future__ import annotations

import base64
import hashlib
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

_PIECE = 1 << 20


class Hasher:
    """MD5 and CRC32C of a stream, as Cloud Storage writes them."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        self.size = 0

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._md5.update(piece)
        self._crc32c.update(piece)
        self.size += len(piece)

    @property
    def md5(self) -> str:
        """Base64 of the digest."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """Base64 of the big-endian checksum."""
        return base64.b64encode(self._crc32c.digest()).decode()


class Blob:
    """A file being written; nobody else knows of it until a row names it."""

    def __init__(self, path: Path, hasher: Hasher | None = None) -> None:
        self.path = path
        self.id = path.name
        self.hasher = hasher or Hasher()
        self._file: BinaryIO = path.open("ab")

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._file.write(piece)
        self.hasher.update(piece)

    def close(self) -> None:
        """Hand the bytes to the operating system; they survive a SIGKILL from here on."""
        self._file.close()

    def discard(self) -> None:
        """Forget the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """The directory of immutable files and the mirror of live objects made of links to them."""

    def __init__(self, root: Path) -> None:
        self._files = root / "blobs"
        self.mirror = root / "mirror"
        self._files.mkdir(parents=True, exist_ok=True)
        self.mirror.mkdir(parents=True, exist_ok=True)

    def create(self) -> Blob:
        """A new, empty file."""
        return Blob(self.path(uuid.uuid4().hex))

    def reopen(self, blob_id: str) -> Blob:
        """A file to append to, with the hashes of what it holds so far."""
        hasher = Hasher()
        if self.path(blob_id).exists():
            for piece in self.read(blob_id):
                hasher.update(piece)
        return Blob(self.path(blob_id), hasher)

    def path(self, blob_id: str) -> Path:
        """Where a blob is."""
        return self._files / blob_id

    def read(self, blob_id: str) -> Iterator[bytes]:
        """The bytes of a blob, piece by piece."""
        with self.path(blob_id).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def concatenate(self, blob_ids: Iterable[str]) -> Blob:
        """A new blob with the bytes of others, one after the other."""
        blob = self.create()
        for blob_id in blob_ids:
            for piece in self.read(blob_id):
                blob.write(piece)
        blob.close()
        return blob

    def clone(self, blob_id: str) -> str:
        """The id of another name for the same bytes."""
        clone_id = uuid.uuid4().hex
        self.path(clone_id).hardlink_to(self.path(blob_id))
        return clone_id

    def remove(self, blob_id: str) -> None:
        """Drop a blob; who reads it now reads on."""
        self.path(blob_id).unlink(missing_ok=True)

    def remove_others(self, known: Collection[str]) -> None:
        """Drop every blob that is not ``known``: what a crash left half-written."""
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink()

    def clear_mirror(self) -> None:
        """Empty the mirror."""
        shutil.rmtree(self.mirror)
        self.mirror.mkdir()

    def link(self, bucket: str, name: str, blob_id: str) -> bool:
        """Show a blob as ``mirror/bucket/name``; False where no file system could."""
        target = self._mirror_path(bucket, name)
        if target is None:
            return False
        staged = self._files / f"link-{uuid.uuid4().hex}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.hardlink_to(self.path(blob_id))
            staged.replace(target)
        except OSError:
            # A name too long, or one that is a folder of another name.
            staged.unlink(missing_ok=True)
            return False
        return True

    def unlink(self, bucket: str, name: str) -> None:
        """Take a name out of the mirror, and the folders that it leaves empty."""
        target = self._mirror_path(bucket, name)
        if target is None or not target.is_file():
            return
        target.unlink()
        for folder in target.parents:
            if folder == self.mirror / bucket or any(folder.iterdir()):
                return
            folder.rmdir()

    def _mirror_path(self, bucket: str, name: str) -> Path | None:
        unsafe = any(part in ("", ".", "..") or "\0" in part for part in name.split("/"))
        return None if unsafe else self.mirror / bucket / name
