"""Receives signed uploads for a file object store, answering as Cloud Storage's XML API does.

`UploadApp` is a WSGI application; the local stack mounts it where the store's `upload_url` points.
A request is checked in Cloud Storage's order: signature, precondition, announced length; then its
body is streamed into the store, and length and MD5 decide whether the object appears.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request, Response

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.errors import BackendUnavailable, ObjectExists, RequestRefused
from eventpulse.ports import BUCKETS, Bucket, StoredObject

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_BLOCK_BYTES = 1 << 20
_META = "x-goog-meta-"


class UploadApp:
    """PUT `/<bucket>/<name>?X-Goog-…` creates or replaces the object that the signed URL allows."""

    def __init__(self, store: FileObjectStore) -> None:
        self._store = store

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = _created(self._accept(request))
        except RequestRefused as refused:
            response = _refusal(refused)
        except BackendUnavailable as fault:
            response = _refusal(
                RequestRefused(503, "ServiceUnavailable", "Please try again.", str(fault))
            )
        return response(environ, start_response)

    def _accept(self, request: Request) -> StoredObject:
        headers = {name.lower(): value.strip() for name, value in request.headers.items()}
        path = request.root_path + request.path
        if request.method != "PUT":
            raise _refuse(405, "MethodNotAllowed", "The method is not allowed here.", "Use PUT.")
        query = request.query_string.decode("latin-1")
        self._store.signer.check("PUT", path, query, headers, datetime.now(UTC))
        bucket, name = _parse_path(request.path)
        replaces = _parse_generation(headers.get("x-goog-if-generation-match", ""))
        live = self._store.stat(bucket, name)
        if (live.ref.generation if live else None) != replaces:
            raise _exists()
        try:
            return self._stream(request, bucket, name, headers, replaces)
        except ObjectExists:
            raise _exists() from None
        except ClientDisconnected:
            raise _refuse(
                400, "IncompleteBody", "Fewer bytes came than were announced.", "Send it again."
            ) from None

    def _stream(
        self,
        request: Request,
        bucket: Bucket,
        name: str,
        headers: dict[str, str],
        replaces: int | None,
    ) -> StoredObject:
        least, most = _parse_range(headers.get("x-goog-content-length-range"))
        announced = request.content_length
        if announced is None and not request.environ.get("wsgi.input_terminated"):
            raise _refuse(
                411, "MissingContentLength", "You must provide Content-Length.", "Send it."
            )
        _check_length(announced, least, most)
        with self._store.write(
            bucket,
            name,
            content_type=headers.get("content-type", "application/octet-stream"),
            metadata={k.removeprefix(_META): v for k, v in headers.items() if k.startswith(_META)},
            replaces=replaces,
        ) as writer:
            while block := request.stream.read(_BLOCK_BYTES):
                writer.write(block)
                if writer.size > most:
                    break
            _check_length(writer.size, least, most)
            _check_md5(headers.get("content-md5"), writer.md5)
        return writer.stored


def _parse_path(path: str) -> tuple[Bucket, str]:
    bucket, _, name = path.removeprefix("/").partition("/")
    for known in BUCKETS:
        if bucket == known and name:
            return known, name
    raise _refuse(404, "NoSuchBucket", "The specified bucket does not exist.", bucket)


def _parse_generation(text: str) -> int | None:
    """The generation that must be live; None for none, which Cloud Storage writes as 0."""
    if not re.fullmatch("[0-9]{1,19}", text):
        detail = "x-goog-if-generation-match must be a generation, or 0."
        raise _refuse(400, "InvalidArgument", "Invalid argument.", detail)
    return int(text) or None


def _parse_range(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 5 << 40  # Cloud Storage's own limit, 5 TiB
    match = re.fullmatch(r"([0-9]+), *([0-9]+)", text)
    if match is None:
        raise _refuse(400, "InvalidArgument", "Invalid argument.", f"Length range {text!r}.")
    return int(match[1]), int(match[2])


def _check_length(length: int | None, least: int, most: int) -> None:
    if length is not None and length > most:
        raise _refuse(
            400,
            "EntityTooLarge",
            "Your proposed upload is larger than the maximum object size specified in your "
            "request.",
            f"Content-length {length} exceeds the upper bound {most}.",
        )
    if length is not None and length < least:
        raise _refuse(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum object size specified in your "
            "request.",
            f"Content-length {length} is below the lower bound {least}.",
        )


def _check_md5(expected: str | None, actual: str) -> None:
    if expected is None:
        return
    try:
        digest = base64.b64decode(expected, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise _refuse(
            400, "InvalidDigest", "The Content-MD5 you specified was invalid.", repr(expected)
        )
    if expected != actual:
        raise _refuse(
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            f"Expected {expected}, computed {actual}.",
        )


def _exists() -> RequestRefused:
    return _refuse(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
        "x-goog-if-generation-match",
    )


def _refuse(status: int, code: str, title: str, detail: str) -> RequestRefused:
    return RequestRefused(status, code, title, detail)


def _refusal(refused: RequestRefused) -> Response:
    elements = {
        "Code": refused.code,
        "Message": refused.title,
        "Details": refused.message,
        **{name: value for name, value in refused.fields.items() if name[0].isupper()},
    }
    body = "".join(f"<{tag}>{escape(str(text))}</{tag}>" for tag, text in elements.items())
    return Response(
        f"<?xml version='1.0' encoding='UTF-8'?><Error>{body}</Error>",
        refused.status,
        content_type="application/xml; charset=UTF-8",
    )


def _created(stored: StoredObject) -> Response:
    md5 = stored.md5 or ""
    return Response(
        status=200,
        headers={
            "ETag": f'"{base64.b64decode(md5).hex()}"',
            "x-goog-generation": str(stored.ref.generation),
            "x-goog-metageneration": "1",
            "x-goog-hash": f"md5={md5}",
            "x-goog-stored-content-length": str(stored.size),
            "x-goog-stored-content-encoding": "identity",
        },
    )
