"""Bytes coming in: straight into a file, hashed and checked on the way, never held.

A multipart upload is two parts, the resource in JSON and the media; a resumable one is a
session that takes chunks until the total is there. A body that ends early leaves nothing
behind, except in a session, which keeps what arrived.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from emulators.storage.blobs import Blob, Hasher
from emulators.storage.catalogue import Catalogue, select_attributes
from emulators.storage.errors import Refusal, bad_digest, invalid
from emulators.storage.records import Conditions, Session, Stored

_MAX_RESOURCE_BYTES = 1 << 20
_CHUNK_MULTIPLE = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Digests:
    """What the client says that the bytes hash to, base64; None where it says nothing."""

    md5: str | None = None
    crc32c: str | None = None

    def check(self, hasher: Hasher) -> None:
        """Refuse bytes that hash otherwise."""
        if self.md5 is not None and self.md5 != hasher.md5:
            raise bad_digest(f"The MD5 you specified ({self.md5}) was not that of the bytes.")
        if self.crc32c is not None and self.crc32c != hasher.crc32c:
            raise bad_digest(f"The CRC32C you specified ({self.crc32c}) was not that of the bytes.")


def read_digests(headers: Mapping[str, str], resource: Mapping[str, Any]) -> Digests:
    """The digests in ``content-md5``, ``x-goog-hash`` and the resource; they may not differ."""
    announced: list[tuple[str, str]] = [
        (name, resource[field])
        for name, field in (("md5", "md5Hash"), ("crc32c", "crc32c"))
        if resource.get(field)
    ]
    if "content-md5" in headers:
        announced.append(("md5", headers["content-md5"]))
    for part in filter(None, headers.get("x-goog-hash", "").split(",")):
        name, _, value = part.strip().partition("=")
        announced.append((name, value))
    found: dict[str, str] = {}
    for name, value in announced:
        if name not in ("md5", "crc32c") or found.setdefault(name, value) != value:
            raise Refusal(400, "invalid", "InvalidDigest", f"The digest {name}={value} is invalid.")
    return Digests(**found)


class Uploads:
    """Uploads in flight."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # The hashes of a session's bytes so far; made anew from the file after a restart.
        self._hashers: dict[str, Hasher] = {}

    @contextlib.contextmanager
    def new_blob(self) -> Iterator[Blob]:
        """A blob that is discarded when the block raises."""
        blob = self._catalogue.blobs.create()
        try:
            yield blob
        except BaseException:
            blob.discard()
            raise

    def finish(
        self,
        blob: Blob,
        bucket: str,
        name: str,
        attributes: Mapping[str, Any],
        conditions: Conditions,
        digests: Digests,
        session: str | None = None,
    ) -> Stored:
        """Check the digests and make the blob an object."""
        blob.close()
        digests.check(blob.hasher)
        full = {
            "contentType": "application/octet-stream",
            **attributes,
            "md5Hash": blob.hasher.md5,
            "crc32c": blob.hasher.crc32c,
        }
        return self._catalogue.write(
            bucket, name, blob.id, blob.hasher.size, full, conditions, session
        )

    # -- multipart -----------------------------------------------------------------------

    async def receive_multipart(self, request: Request, blob: Blob) -> dict[str, Any]:
        """Write the media part to ``blob``; answers the resource part."""
        match = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
        if match is None:
            raise invalid("a multipart upload needs a boundary")
        delimiter = b"\r\n--" + match[1].encode()
        chunks = request.stream()
        # The body begins as if a line break came before its first delimiter.
        _, rest = await _read_until(chunks, b"\r\n", delimiter)
        _, rest = await _read_until(chunks, rest, b"\r\n\r\n")
        resource_bytes, rest = await _read_until(chunks, rest, delimiter)
        headers, rest = await _read_until(chunks, rest, b"\r\n\r\n")
        await _copy_until_end(chunks, rest, delimiter + b"--", blob)
        resource = parse_resource(resource_bytes)
        media_type = re.search(rb"(?im)^content-type:\s*([^\r\n]+)", headers)
        if media_type and "contentType" not in resource:
            resource["contentType"] = media_type[1].strip().decode("latin-1")
        return resource

    # -- resumable -----------------------------------------------------------------------

    async def receive_chunk(self, request: Request, session_id: str) -> Stored | int:
        """Take a chunk or a question about the state of a session.

        Answers the finished object, or the number of bytes kept so far.
        """
        session = self._catalogue.get_session(session_id)
        if session.generation is not None:
            return self._find_finished(session)
        blob = self._open(session)
        try:
            start, total = self._parse_range(request, blob.hasher.size)
            if start is not None:
                await _append(request.stream(), blob, skip=blob.hasher.size - start)
        finally:
            # Whatever arrived is kept: the client asks how much, and goes on from there.
            blob.close()
            self._hashers[session_id] = blob.hasher
        if "content-range" not in request.headers:
            total = blob.hasher.size
        if total is None or blob.hasher.size < total:
            if start is not None and blob.hasher.size % _CHUNK_MULTIPLE:
                raise invalid("a chunk that is not the last must be a multiple of 256 KiB")
            return blob.hasher.size
        return self._finish_session(request, session, blob, total)

    def cancel(self, session_id: str) -> None:
        """Forget a session."""
        self._catalogue.cancel_session(session_id)
        self._hashers.pop(session_id, None)

    def _open(self, session: Session) -> Blob:
        hasher = self._hashers.get(session.id)
        if hasher is None:
            return self._catalogue.blobs.reopen(session.blob)
        return Blob(self._catalogue.blobs.path(session.blob), hasher)

    def _find_finished(self, session: Session) -> Stored:
        stored = self._catalogue.find(session.bucket, session.name, session.generation)
        if stored is None:
            raise Refusal(410, "gone", "NoSuchUpload", "The uploaded object is gone.")
        return stored

    def _parse_range(self, request: Request, size: int) -> tuple[int | None, int | None]:
        """``(first byte sent, total)``, None for what is not sent or not known."""
        header = request.headers.get("content-range")
        if header is None:
            return 0, None
        match = _CONTENT_RANGE.fullmatch(header)
        if match is None:
            raise invalid(f"Content-Range {header!r} is malformed")
        total = None if match[3] == "*" else int(match[3])
        if match[1] is None:
            return None, total
        if int(match[1]) > size:
            raise invalid(f"the chunk begins at {match[1]}, after the {size} bytes received")
        return int(match[1]), total

    def _finish_session(self, request: Request, session: Session, blob: Blob, total: int) -> Stored:
        if blob.hasher.size > total:
            raise invalid(f"{blob.hasher.size} bytes arrived, {total} were announced")
        digests = read_digests(request.headers, session.attributes)
        attributes = select_attributes(session.attributes)
        try:
            return self.finish(
                blob,
                session.bucket,
                session.name,
                attributes,
                session.conditions,
                digests,
                session.id,
            )
        except Refusal:
            self.cancel(session.id)
            raise
        finally:
            self._hashers.pop(session.id, None)


def parse_resource(body: bytes) -> dict[str, Any]:
    """An object resource as a client sends it."""
    try:
        resource = json.loads(body or b"{}")
    except ValueError as error:
        raise invalid("the resource is not JSON") from error
    if not isinstance(resource, dict):
        raise invalid("the resource is not a JSON object")
    return resource


async def receive_body(request: Request, blob: Blob, most: int | None = None) -> None:
    """Write the whole body to ``blob``; refuse one of more than ``most`` bytes."""
    async for chunk in request.stream():
        blob.write(chunk)
        if most is not None and blob.hasher.size > most:
            raise too_large(most)


def too_large(most: int) -> Refusal:
    """More bytes than the signed range allows."""
    message = "Your proposed upload exceeds the maximum allowed object size."
    return Refusal(400, "invalid", "EntityTooLarge", message, f"Maximum: {most}")


async def _append(chunks: AsyncIterator[bytes], blob: Blob, skip: int) -> None:
    """Append a chunk's bytes but the first ``skip``, which are there already."""
    async for chunk in chunks:
        blob.write(chunk[skip:])
        skip = max(0, skip - len(chunk))


async def _read_until(
    chunks: AsyncIterator[bytes], rest: bytes, mark: bytes
) -> tuple[bytes, bytes]:
    """The bytes before ``mark`` and those after it; for the small parts of a body."""
    while mark not in rest:
        if len(rest) > _MAX_RESOURCE_BYTES:
            raise invalid("the resource of the multipart upload is too large")
        try:
            rest += await anext(chunks)
        except StopAsyncIteration:
            raise invalid("the multipart body ended early") from None
    before, _, after = rest.partition(mark)
    return before, after


async def _copy_until_end(
    chunks: AsyncIterator[bytes], rest: bytes, end: bytes, blob: Blob
) -> None:
    """Write everything before the closing ``end``, which may be cut in two by a chunk."""
    held = rest
    keep = len(end) + 2
    async for chunk in chunks:
        held += chunk
        if len(held) > keep:
            blob.write(held[:-keep])
            held = held[-keep:]
    before, found, after = held.partition(end)
    if not found or after not in (b"", b"\r\n"):
        raise invalid("the multipart body ended early")
    blob.write(before)
