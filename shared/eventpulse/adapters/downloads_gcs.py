"""Reads one generation of a Cloud Storage object, sequentially or by seeking, in bounded memory.

A reader costs one operation when it is read from the beginning to the end: one answer is streamed,
and taken up where it broke off when the connection is reset, always of the same generation. After a
seek elsewhere it asks for ranges, which grow as long as they are read on. Content comes as stored:
asking for gzip prevents that Cloud Storage decompresses it.
"""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import google_crc32c
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry

from eventpulse.adapters.uploads_gcs import TIMEOUT
from eventpulse.errors import BackendUnavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST_RANGE_BYTES = 1 << 20
_LONGEST_RANGE_BYTES = 64 << 20
_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/=]+)")


class GcsReader(io.RawIOBase):
    """The raw reader behind a buffer. `url` is the media URL of one generation.

    Faults that outlive `retry` leave through `translate`, a context manager named after the read.
    Raises NotFound when it is made and there is no such generation.
    """

    def __init__(self, session: Any, url: str, retry: Retry, translate: Callable[[], Any]) -> None:
        super().__init__()
        self._session = session
        self._url = url
        self._translate = translate
        self._position = 0
        self._range: int | None = None  # how many bytes the next request asks for; None: the rest
        self._until = 0  # where the open answer ends
        self._answer: requests.Response | None = None
        self._check: Any = None
        self._fill = retry(self._fill_once)
        self._size, self._crc32c = retry(self._open_first)()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError("seek of a closed reader")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        target = base + offset
        if target < 0:
            raise ValueError(f"negative seek position {target}")
        if target != self._position:
            self._drop()
            self._check = None
            self._position = target
            self._range = _FIRST_RANGE_BYTES if target else None
        return target

    def readinto(self, target: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("read of a closed reader")
        view = memoryview(target).cast("B")
        if not view or self._position >= self._size:
            return 0
        with self._translate():
            count: int = self._fill(view)
        self._position += count
        return count

    def close(self) -> None:
        self._drop()
        super().close()

    def _fill_once(self, view: memoryview) -> int:
        if self._answer is None or self._position == self._until:
            self._open()
        assert self._answer is not None
        try:
            block = self._answer.raw.read(
                min(len(view), self._until - self._position), decode_content=False
            )
        except BaseException:
            self._drop()
            raise
        if not block:
            self._drop()
            raise ConnectionError(f"The content ended at {self._position} of {self._size} bytes.")
        view[: len(block)] = block
        self._verify(block)
        return len(block)

    def _verify(self, block: bytes) -> None:
        if self._check is None:
            return
        self._check.update(block)
        if self._position + len(block) == self._size:
            computed = self._check.digest()
            self._check = None
            if computed != self._crc32c:
                raise BackendUnavailable(
                    "Cloud Storage", f"read {self._url}", "the content arrived damaged (CRC32C)"
                )

    def _open_first(self) -> tuple[int, bytes | None]:
        answer = self._request({})
        stored = answer.headers.get("x-goog-stored-content-length")
        size = int(stored or answer.headers["content-length"])
        match = _CRC32C.search(answer.headers.get("x-goog-hash", ""))
        self._answer, self._until = answer, size
        self._check = _new_checksum() if match else None
        return size, b64decode(match[1]) if match else None

    def _open(self) -> None:
        self._drop()
        end = self._size
        if self._range is not None:
            end = min(end, self._position + self._range)
            self._range = min(2 * self._range, _LONGEST_RANGE_BYTES)
        whole = (self._position, end) == (0, self._size)
        self._answer = self._request(
            {} if whole else {"range": f"bytes={self._position}-{end - 1}"}
        )
        self._until = end
        if self._position == 0 and self._crc32c is not None:
            self._check = _new_checksum()

    def _request(self, headers: dict[str, str]) -> requests.Response:
        answer: requests.Response = self._session.request(
            "GET",
            self._url,
            headers={"accept-encoding": "gzip", **headers},
            stream=True,
            timeout=TIMEOUT,
        )
        if answer.status_code == (206 if "range" in headers else 200):
            return answer
        with answer:
            raise exceptions.from_http_response(answer)  # type: ignore[no-untyped-call]

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def _new_checksum() -> Any:
    return google_crc32c.Checksum()  # type: ignore[no-untyped-call]
