"""The object store as a directory: `file:///path`, for one machine and any number of processes.

How objects lie on disk, and why a kill at any point leaves nothing half done, is said at the head
of `file_layout`; `file_operations` has the steps of a write. In short: `<root>/<bucket>/<name>` is
a symbolic link to the live content, which one rename sets, after everything else is durable.

A finalize of the raw bucket is put into the outbox before its object appears, and announced by
`finalize_file.FinalizeDelivery`, which some long-running process runs. Signed uploads are received
by `uploads_file.UploadApp`. It needs a POSIX file system with hard links and flock; one that takes
`A` and `a` for one name is fine.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from eventpulse.adapters.file_layout import Document, Layout, file_faults, make_folder, sync_folder
from eventpulse.adapters.file_operations import FileWriter, Operation, sweep
from eventpulse.adapters.object_names import check_name, check_upload_name
from eventpulse.adapters.signature_v4 import UrlSigner, expiry_of, upload_headers
from eventpulse.errors import ObjectExists, ObjectMissing, SettingInvalid
from eventpulse.ports import Bucket, ObjectRef, SignedRequest, StoredObject


def parse_file_url(url: str) -> str:
    """The absolute path that a `file:///path` names. Raises SettingInvalid."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise SettingInvalid("EVENTPULSE_OBJECTS", url, "file:///absolute/path")
    return os.path.normpath(path)


class FileObjectStore:
    """ObjectStore on `file:///path`.

    `sign_key` signs upload URLs; `upload_url` is where the local stack mounts UploadApp, e.g.
    `http://127.0.0.1:8080/objects`.
    """

    def __init__(self, url: str, sign_key: bytes, upload_url: str) -> None:
        self.layout = Layout(parse_file_url(url))
        self.signer = UrlSigner(sign_key)
        self._upload_url = upload_url.rstrip("/")
        self._sweep_lock = threading.Lock()
        self._swept = False

    def bucket_name(self, bucket: Bucket) -> str:
        return bucket

    def uri(self, ref: ObjectRef) -> str:
        return "file://" + quote(
            self.layout.pointer(ref.bucket, check_name(ref.name)), safe="/~+,="
        )

    def stat(self, bucket: Bucket, name: str, generation: int | None = None) -> StoredObject | None:
        check_name(name)
        with file_faults(f"look up {bucket}/{name}"):
            if generation is not None:
                document = self.layout.read(ObjectRef(bucket, name, generation))
                return document.stored() if document else None
            seen = None
            while (live := self.layout.live(bucket, name)) is not None:
                document = self.layout.read(ObjectRef(bucket, name, live))
                if document is not None:
                    return document.stored()
                if live == seen:
                    raise FileNotFoundError(f"{bucket}/{name} has lost its document of {live}.")
                seen = live  # replaced or deleted between the two looks: look again
            return None

    def open(self, ref: ObjectRef) -> BinaryIO:
        check_name(ref.name)
        with file_faults(f"open {ref.bucket}/{ref.name}"):
            if self.layout.visible(ref):
                with contextlib.suppress(FileNotFoundError):
                    return open(self.layout.content(ref), "rb")
        raise ObjectMissing(ref.bucket, ref.name, ref.generation)

    @contextlib.contextmanager
    def write(
        self,
        bucket: Bucket,
        name: str,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        replace: bool = False,
        replaces: int | None = None,
    ) -> Iterator[FileWriter]:
        """As the port says; the writer's `size` and `md5` tell what has passed until now. With
        `replaces`, ObjectExists unless just this generation is live when the object would appear.
        """
        self.layout.pointer(bucket, check_name(name))  # refuses an unknown bucket before the body
        what = f"write {bucket}/{name}"
        with contextlib.ExitStack() as stack:
            with file_faults(what):
                self._sweep_once()
                operation = stack.enter_context(Operation(self.layout))
                file = stack.enter_context(operation.open_content())
                writer = stack.enter_context(FileWriter(file))
            yield writer
            with file_faults(what):
                writer.close()
                operation.seal_content(file)
                draft = Document(
                    bucket=bucket,
                    name=name,
                    generation=None,
                    size=writer.size,
                    md5=writer.md5,
                    content_type=content_type,
                    metadata=dict(metadata or {}),
                )
                writer.stored = self._commit(operation, draft, replace, replaces)

    def _commit(
        self, operation: Operation, draft: Document, replace: bool, replaces: int | None
    ) -> StoredObject:
        with self.layout.locked(draft.bucket, draft.name):
            live = self.layout.live(draft.bucket, draft.name)
            if live != replaces and not replace:
                raise ObjectExists(draft.bucket, draft.name)
            now = datetime.now(UTC)
            document = draft.finalized(self._next_generation(draft, live), live, now)
            stored = document.stored()
            operation.intend(document)
            operation.place(stored.ref)
            if draft.bucket == "raw":
                operation.announce()
                if live is not None:
                    operation.keep(ObjectRef(draft.bucket, draft.name, live))
            operation.point(stored.ref)
            return stored

    def _next_generation(self, draft: Document, live: int | None) -> int:
        floor = live if live is not None else self._greatest_deleted(draft.bucket)
        generation = max(time.time_ns() // 1000, floor + 1)
        while os.path.lexists(self.layout.content(ObjectRef(draft.bucket, draft.name, generation))):
            generation += 1  # the rest of a killed writer, not swept yet
        return generation

    def list(
        self, bucket: Bucket, prefix: str = "", after: str = "", *, generations: bool = False
    ) -> Iterator[StoredObject]:
        with file_faults(f"list {bucket}/{prefix}"):
            if generations:
                for ref in self.layout.placed(bucket, prefix.encode(), after.encode()):
                    document = self.layout.read(ref)
                    if document is not None:
                        yield document.stored()
                return
            for name in self.layout.names(bucket, prefix.encode(), after.encode()):
                stored = self.stat(bucket, name)
                if stored is not None:
                    yield stored

    def delete(self, ref: ObjectRef) -> bool:
        check_name(ref.name)
        with file_faults(f"delete {ref.bucket}/{ref.name}"):
            if self.layout.live(ref.bucket, ref.name) != ref.generation:
                return False
            self._sweep_once()
            with Operation(self.layout) as operation, self.layout.locked(ref.bucket, ref.name):
                if self.layout.live(ref.bucket, ref.name) != ref.generation:
                    return False
                operation.intend(Document(ref.bucket, ref.name, None, replaces=ref.generation))
                if ref.bucket == "raw":
                    operation.keep(ref)
                self._raise_greatest_deleted(ref)
                operation.unpoint(ref)
                return True

    def _greatest_deleted(self, bucket: Bucket) -> int:
        try:
            with open(os.path.join(self.layout.deleted, bucket)) as file:
                return int(file.read())
        except FileNotFoundError:
            return 0

    def _raise_greatest_deleted(self, ref: ObjectRef) -> None:
        mark = os.path.join(self.layout.deleted, ref.bucket)
        make_folder(self.layout.deleted)
        with self.layout.locked_bucket(ref.bucket):
            if self._greatest_deleted(ref.bucket) >= ref.generation:
                return
            with open(mark + ".new", "w") as file:
                file.write(str(ref.generation))
                file.flush()
                os.fsync(file.fileno())
            os.rename(mark + ".new", mark)
            sync_folder(self.layout.deleted)

    def sign_upload(
        self,
        name: str,
        *,
        length: int,
        md5: str,
        content_type: str,
        expires: datetime,
        metadata: Mapping[str, str] | None = None,
        replaces: int | None = None,
    ) -> SignedRequest:
        headers = upload_headers(
            length=length,
            md5=md5,
            content_type=content_type,
            metadata=metadata,
            replaces=replaces,
        )
        url = f"{self._upload_url}/raw/{quote(check_upload_name(name), safe='/~')}"
        signed = self.signer.sign("PUT", url, headers, expires)
        return SignedRequest("PUT", signed, headers, expiry_of(signed))

    def _sweep_once(self) -> None:
        """Sweep what killed processes left, before this one first adds something."""
        with self._sweep_lock:
            if not self._swept:
                sweep(self.layout)
                self._swept = True
