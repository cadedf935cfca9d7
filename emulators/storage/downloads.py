"""Bytes going out: a generation's file, whole or a range of it, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from emulators.storage.errors import Refusal
from emulators.storage.records import Stored

_PIECE = 256 * 1024
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# Attribute of the resource -> header of the media.
_HEADERS = {
    "contentType": "content-type",
    "contentEncoding": "content-encoding",
    "contentDisposition": "content-disposition",
    "contentLanguage": "content-language",
    "cacheControl": "cache-control",
}


def describe_headers(stored: Stored) -> dict[str, str]:
    """The headers that say what a generation is."""
    attributes = stored.attributes
    hashes = [("crc32c", attributes.get("crc32c")), ("md5", attributes.get("md5Hash"))]
    described = {
        "etag": f'"{attributes.get("md5Hash") or stored.generation}"',
        "x-goog-generation": str(stored.generation),
        "x-goog-metageneration": str(stored.metageneration),
        "x-goog-hash": ",".join(f"{name}={value}" for name, value in hashes if value),
        "x-goog-stored-content-length": str(stored.size),
        "x-goog-stored-content-encoding": attributes.get("contentEncoding", "identity"),
    }
    for name, value in attributes.get("metadata", {}).items():
        described[f"x-goog-meta-{name}"] = quote(str(value), safe=_PRINTABLE)
    return described


def send_media(
    request: Request, stored: Stored, path: Path, overrides: Mapping[str, str] | None = None
) -> Response:
    """The media of a generation, or the range asked for; 416 when that is past its end.

    The file is open before this returns: a delete from here on does not disturb the reader.
    """
    file = path.open("rb")
    try:
        first, last = _parse_range(request.headers.get("range"), stored.size)
    except Refusal:
        file.close()
        raise
    headers = describe_headers(stored)
    headers |= {
        header: _text(stored.attributes[key])
        for key, header in _HEADERS.items()
        if key in stored.attributes
    }
    headers |= {"accept-ranges": "bytes", **(overrides or {})}
    headers["content-length"] = str(last - first + 1)
    partial = (first, last) != (0, stored.size - 1)
    if partial:
        headers["content-range"] = f"bytes {first}-{last}/{stored.size}"
    if request.method == "HEAD":
        file.close()
        return Response(headers=headers)
    return StreamingResponse(_read(file, first, last), 206 if partial else 200, headers)


def _text(value: Any) -> str:
    return str(value).encode("latin-1", "replace").decode("latin-1")


def _parse_range(header: str | None, size: int) -> tuple[int, int]:
    """The first and the last byte to send; everything for a header that is not one range."""
    match = _RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "":
        return 0, size - 1
    if match[1] == "":
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first >= size or first > last:
        message = "The requested range cannot be satisfied."
        raise Refusal(416, "requestedRangeNotSatisfiable", "InvalidRange", message)
    return first, last


def _read(file: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece
