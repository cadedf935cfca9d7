"""Streams one object into Cloud Storage: whole or not at all, once, and with bounded memory.

An object that fits into one chunk and must not exist yet goes in one request. Everything else goes
through a resumable session: bytes that a session never finalises are never visible, and a session
finalises once, however often its last request is repeated. A request whose answer was lost may so
be sent again in both ways; if it comes back refused although it had succeeded (412, or a session
that is gone), the writer id in the object's metadata tells that the object is this writer's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import requests
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError

from eventpulse.errors import BackendUnavailable, ObjectExists
from eventpulse.ports import Bucket, StoredObject

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHUNK_BYTES = 8 << 20  # a multiple of 256 KiB, as sessions want
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
WRITER = "eventpulse-writer"
_PERSISTED = re.compile(r"bytes=0-([0-9]+)")


class GcsWriter(io.RawIOBase):
    """The sink of one write. Closing it does not commit; `finish` does.

    `blob` is a fresh Blob of the client library; `read` makes a StoredObject of an object resource.
    """

    stored: StoredObject

    def __init__(
        self,
        blob: Any,
        bucket: Bucket,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        replace: bool,
        retry: Retry,
        translate: Callable[[], AbstractContextManager[None]],
        read: Callable[[Mapping[str, Any]], StoredObject],
    ) -> None:
        super().__init__()
        self._blob = blob
        self._bucket = bucket
        self._must_not_exist = 0 if not replace else None
        self._retry = retry
        self._translate = translate
        self._read = read
        self._writer = uuid.uuid4().hex
        blob.metadata = {**metadata, WRITER: self._writer}
        blob.content_type = content_type
        self._digest = hashlib.md5(usedforsecurity=False)
        self._buffer = bytearray()
        self._session: str | None = None
        self._sent = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._sent + len(self._buffer)

    def write(self, data: ReadableBuffer, /) -> int:
        if self.closed:
            raise ValueError("The object is already written.")
        view = memoryview(data).cast("B")
        self._digest.update(view)
        for start in range(0, len(view), CHUNK_BYTES):
            self._buffer += view[start : start + CHUNK_BYTES]
            # More than a chunk, so that something is left for the request that finalises.
            if len(self._buffer) > CHUNK_BYTES:
                self._send_chunk()
        return len(view)

    def finish(self) -> None:
        """Finalise. Raises ObjectExists; BackendUnavailable when it may or may not be there."""
        self.close()
        with self._translate():
            try:
                resource = self._finalise()
            except exceptions.GoogleAPICallError as refusal:
                resource = self._explain(refusal)
            self.stored = self._read(resource)
            if self.stored.md5 not in (None, self._md5()):
                self._blob.delete(if_generation_match=self.stored.ref.generation, retry=self._retry)
                raise self._lost("the content arrived damaged")

    def abandon(self) -> None:
        """Nothing appears. An unfinished session that cannot be cancelled lapses within a week."""
        self.close()
        if self._session is not None:
            with contextlib.suppress(GoogleAuthError, requests.RequestException):
                self._blob.client._http.delete(self._session, timeout=TIMEOUT)

    def _finalise(self) -> Mapping[str, Any]:
        if self._session is None and self._must_not_exist is not None:
            return self._send_whole()
        return self._send(bytes(self._buffer), total=self.tell())

    def _send_chunk(self) -> None:
        with self._translate():
            try:
                self._send(bytes(self._buffer[:CHUNK_BYTES]), total=None)
            except exceptions.GoogleAPICallError as refusal:
                self._explain(refusal)
                raise
        del self._buffer[:CHUNK_BYTES]

    def _explain(self, refusal: exceptions.GoogleAPICallError) -> Mapping[str, Any]:
        """The object, if it is there by this writer's doing; else raise what the refusal means."""
        session_is_gone = self._session is not None and refusal.code in (404, 410)
        if refusal.code != 412 and not session_is_gone:
            raise refusal
        resource = self._find_own()
        if resource is not None:
            return resource
        if session_is_gone:
            raise self._lost(refusal) from refusal
        raise ObjectExists(self._bucket, self._blob.name) from None

    def _md5(self) -> str:
        return b64encode(self._digest.digest()).decode()

    def _send_whole(self) -> Mapping[str, Any]:
        self._blob.upload_from_file(
            io.BytesIO(self._buffer),
            size=len(self._buffer),
            content_type=self._blob.content_type,
            if_generation_match=self._must_not_exist,
            checksum="md5",
            timeout=TIMEOUT,
            retry=self._retry,
        )
        resource: Mapping[str, Any] = self._blob._properties
        return resource

    def _send(self, data: bytes, total: int | None) -> Mapping[str, Any]:
        """Send `data` at the offset that the session has reached; `total` finalises."""
        if self._session is None:
            self._session = self._blob.create_resumable_upload_session(
                content_type=self._blob.content_type,
                if_generation_match=self._must_not_exist,
                checksum=None,
                timeout=TIMEOUT,
                retry=self._retry,
            )
        begin, end = self._sent, self._sent + len(data)
        put = self._retry(self._put)
        while True:
            answer = put(data[self._sent - begin :], total)
            if answer.status_code in (200, 201):
                self._sent = end
                resource: Mapping[str, Any] = answer.json()
                return resource
            self._sent = _persisted(answer)
            if not begin <= self._sent <= end:
                raise self._lost(f"it holds {self._sent} bytes, not {begin} to {end}")
            if self._sent == end and total is None:
                return {}

    def _put(self, data: bytes, total: int | None) -> requests.Response:
        """One request. A session ignores bytes that it holds already, so repeating is safe.

        Raises a fault that may pass when the session took nothing, so that it is tried again.
        """
        first, last = self._sent, self._sent + len(data) - 1
        size = "*" if total is None else str(total)
        headers = {"content-range": f"bytes {first}-{last}/{size}" if data else f"bytes */{size}"}
        if total is not None:
            headers["x-goog-hash"] = f"md5={self._md5()}"
        answer: requests.Response = self._blob.client._http.request(
            "PUT", self._session, data=data, headers=headers, timeout=TIMEOUT
        )
        if answer.status_code not in (200, 201, 308):
            raise exceptions.from_http_response(answer)  # type: ignore[no-untyped-call]
        if answer.status_code == 308 and _persisted(answer) == first:
            raise ConnectionError("The session took no byte.")
        return answer

    def _find_own(self) -> Mapping[str, Any] | None:
        """The live object's resource, if this very writer made it."""
        with contextlib.suppress(exceptions.NotFound):
            self._blob.reload(timeout=TIMEOUT, retry=self._retry)
            if (self._blob.metadata or {}).get(WRITER) == self._writer:
                resource: Mapping[str, Any] = self._blob._properties
                return resource
        return None

    def _lost(self, problem: object) -> BackendUnavailable:
        return BackendUnavailable(
            "Cloud Storage", f"write {self._bucket}/{self._blob.name}", f"upload lost: {problem}"
        )


def _persisted(answer: requests.Response) -> int:
    """How many bytes a session says that it holds."""
    match = _PERSISTED.fullmatch(answer.headers.get("range", ""))
    return int(match[1]) + 1 if match else 0
