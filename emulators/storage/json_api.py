"""The JSON API: buckets, objects, uploads, compose and rewrite.

https://cloud.google.com/storage/docs/json_api
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.storage.catalogue import Catalogue, decode_object, select_attributes
from emulators.storage.downloads import send_media
from emulators.storage.errors import Refusal, condition_failed, invalid, not_implemented
from emulators.storage.records import Conditions, Stored
from emulators.storage.uploads import Uploads, parse_resource, read_digests, receive_body

_MAX_RESULTS = 1000
_MAX_COMPONENTS = 32


class JsonApi:
    """One method per resource; each answers a response or raises Refusal."""

    def __init__(self, catalogue: Catalogue, uploads: Uploads) -> None:
        self._catalogue = catalogue
        self._uploads = uploads

    async def serve_buckets(self, request: Request) -> Response:
        """``/b``: list and create."""
        if request.method == "GET":
            prefix = request.query_params.get("prefix", "")
            buckets = self._catalogue.list_buckets()
            items = [bucket for bucket in buckets if bucket["name"].startswith(prefix)]
            return JSONResponse({"kind": "storage#buckets", "items": items})
        if request.method == "POST":
            resource = parse_resource(await request.body())
            return JSONResponse(
                self._catalogue.create_bucket(str(resource.get("name", "")), resource)
            )
        raise _no_method(request)

    async def serve_bucket(self, request: Request, bucket: str) -> Response:
        """``/b/BUCKET``: get, patch, update, delete."""
        match request.method:
            case "GET":
                return JSONResponse(self._catalogue.get_bucket(bucket))
            case "PATCH" | "PUT":
                changes = parse_resource(await request.body())
                replace = request.method == "PUT"
                return JSONResponse(self._catalogue.patch_bucket(bucket, changes, replace))
            case "DELETE":
                self._catalogue.delete_bucket(bucket)
                return Response(status_code=204)
        raise _no_method(request)

    async def serve_object(self, request: Request, bucket: str, name: str) -> Response:
        """``/b/BUCKET/o/NAME``: get (also the media), patch, update, delete."""
        query = request.query_params
        generation = _read_number(query, "generation")
        conditions = read_conditions(query)
        match request.method:
            case "GET" | "HEAD":
                stored = self._catalogue.get(bucket, name, generation, conditions)
                if query.get("alt") == "media":
                    return send_media(request, stored, self._catalogue.blobs.path(stored.blob))
                return _send(request, stored)
            case "PATCH" | "PUT":
                stored = self._catalogue.get(bucket, name, generation, Conditions())
                changes = parse_resource(await request.body())
                replace = request.method == "PUT"
                patched = self._catalogue.patch(stored, changes, replace, conditions)
                return _send(request, patched)
            case "DELETE":
                self._catalogue.delete(bucket, name, generation, conditions)
                return Response(status_code=204)
        raise _no_method(request)

    # -- listing -------------------------------------------------------------------------

    async def list_objects(self, request: Request, bucket: str) -> Response:
        """``/b/BUCKET/o``: a page of objects, in the order of names."""
        self._catalogue.get_bucket(bucket)
        query = request.query_params
        for option in ("matchGlob", "softDeleted", "includeFoldersAsPrefixes"):
            if option in query:
                raise not_implemented(f"listing with {option}")
        size = min(_read_number(query, "maxResults") or _MAX_RESULTS, _MAX_RESULTS)
        found, prefixes, token = self._collect(bucket, query, size)
        base = _base(request)
        page: dict[str, Any] = {"kind": "storage#objects"}
        page["items"] = [stored.as_resource(base) for stored in found]
        if prefixes:
            page["prefixes"] = prefixes
        if token is not None:
            page["nextPageToken"] = base64.urlsafe_b64encode(token.encode()).decode()
        return JSONResponse(page)

    def _collect(
        self, bucket: str, query: Mapping[str, str], size: int
    ) -> tuple[list[Stored], list[str], str | None]:
        """Objects, prefixes and the name (or prefix) and generation after which more follow."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after_name, after_generation = _decode_token(query.get("pageToken", ""))
        start = max(prefix, query.get("startOffset", ""))
        versions = query.get("versions", "").lower() == "true"
        rows = self._catalogue.connection.execute(
            "SELECT * FROM objects WHERE bucket = ? AND (name, generation) > (?, ?)"
            " AND name >= ? AND (? OR live) ORDER BY name, generation",
            (bucket, after_name, after_generation, start, versions),
        )
        found: list[Stored] = []
        prefixes: list[str] = []
        last = ""
        for row in rows:
            name = row["name"]
            if not name.startswith(prefix) or name >= query.get("endOffset", "\U0010ffff"):
                break
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            folder = name[: cut + len(delimiter)] if cut >= 0 else None
            if folder is not None and (folder == after_name or folder in prefixes[-1:]):
                continue
            if len(found) + len(prefixes) == size:
                rows.close()
                return found, prefixes, last
            if folder is None:
                found.append(decode_object(row))
                last = f"{row['generation']}/{name}"
            else:
                prefixes.append(folder)
                last = f"0/{folder}"
        rows.close()
        return found, prefixes, None

    # -- uploads -------------------------------------------------------------------------

    async def upload(self, request: Request, bucket: str) -> Response:
        """``/upload/…/b/BUCKET/o``: media, multipart and resumable uploads."""
        query = request.query_params
        if "upload_id" in query:
            return await self.serve_session(request, query["upload_id"])
        match query.get("uploadType"):
            case "media":
                return await self._upload_media(request, bucket)
            case "multipart":
                return await self._upload_multipart(request, bucket)
            case "resumable":
                return await self._start_session(request, bucket)
        raise invalid("uploadType must be media, multipart or resumable")

    async def _upload_media(self, request: Request, bucket: str) -> Response:
        query = request.query_params
        resource = {"contentType": request.headers.get("content-type")}
        with self._uploads.new_blob() as blob:
            await receive_body(request, blob)
            stored = self._uploads.finish(
                blob,
                bucket,
                query.get("name", ""),
                select_attributes(resource),
                read_conditions(query),
                read_digests(request.headers, {}),
            )
        return _send(request, stored)

    async def _upload_multipart(self, request: Request, bucket: str) -> Response:
        query = request.query_params
        with self._uploads.new_blob() as blob:
            resource = await self._uploads.receive_multipart(request, blob)
            stored = self._uploads.finish(
                blob,
                bucket,
                query.get("name") or str(resource.get("name", "")),
                select_attributes(resource),
                read_conditions(query),
                read_digests(request.headers, resource),
            )
        return _send(request, stored)

    async def _start_session(self, request: Request, bucket: str) -> Response:
        query = request.query_params
        resource = parse_resource(await request.body())
        name = query.get("name") or str(resource.get("name", ""))
        announced = request.headers.get("x-upload-content-type")
        if announced and "contentType" not in resource:
            resource["contentType"] = announced
        session = self._catalogue.create_session(bucket, name, resource, read_conditions(query))
        location = f"{_base(request)}{request.url.path}?uploadType=resumable&upload_id={session.id}"
        return Response(headers={"location": location, "x-guploader-uploadid": session.id})

    async def serve_session(self, request: Request, session_id: str) -> Response:
        """A resumable session's address: chunks, questions, cancellation."""
        if request.method == "DELETE":
            self._uploads.cancel(session_id)
            return Response(status_code=499)
        if request.method not in ("PUT", "POST"):
            raise _no_method(request)
        kept = await self._uploads.receive_chunk(request, session_id)
        if isinstance(kept, Stored):
            return _send(request, kept)
        headers = {"range": f"bytes=0-{kept - 1}"} if kept else {}
        return Response(status_code=308, headers=headers)

    # -- compose and rewrite -------------------------------------------------------------

    async def compose(self, request: Request, bucket: str, name: str) -> Response:
        """``/b/BUCKET/o/NAME/compose``: the concatenation of up to 32 objects; it has no MD5."""
        body = parse_resource(await request.body())
        sources = body.get("sourceObjects", [])
        if not 1 <= len(sources) <= _MAX_COMPONENTS:
            raise invalid(f"compose takes 1 to {_MAX_COMPONENTS} source objects")
        parts = [self._find_source(bucket, source) for source in sources]
        conditions = read_conditions(request.query_params)
        conditions.check(self._catalogue.find(bucket, name))
        blob = self._catalogue.blobs.concatenate(part.blob for part in parts)
        attributes = {
            "contentType": parts[0].attributes.get("contentType", "application/octet-stream"),
            **select_attributes(body.get("destination", {})),
            "crc32c": blob.hasher.crc32c,
            "componentCount": sum(part.attributes.get("componentCount", 1) for part in parts),
        }
        try:
            stored = self._catalogue.write(
                bucket, name, blob.id, blob.hasher.size, attributes, conditions
            )
        except Refusal:
            blob.discard()
            raise
        return _send(request, stored)

    def _find_source(self, bucket: str, source: Mapping[str, Any]) -> Stored:
        generation = source.get("generation")
        wanted = source.get("objectPreconditions", {}).get("ifGenerationMatch")
        stored = self._catalogue.get(
            bucket,
            str(source.get("name", "")),
            None if generation is None else int(generation),
            Conditions(),
        )
        if wanted is not None and int(wanted) != stored.generation:
            raise condition_failed()
        return stored

    async def rewrite(
        self, request: Request, source: tuple[str, str], target: tuple[str, str], copy: bool
    ) -> Response:
        """``…/rewriteTo/…`` and ``…/copyTo/…``: a new generation with the same bytes, at once."""
        query = request.query_params
        original = self._catalogue.get(
            *source, _read_number(query, "sourceGeneration"), read_conditions(query, "Source")
        )
        changes = select_attributes(parse_resource(await request.body()))
        blob_id = self._catalogue.blobs.clone(original.blob)
        # A resource replaces the source's attributes; what describes the bytes stays.
        described = ("md5Hash", "crc32c", "componentCount")
        fixed = {key: original.attributes[key] for key in described if key in original.attributes}
        attributes = {**changes, **fixed} if changes else original.attributes
        try:
            stored = self._catalogue.write(
                *target, blob_id, original.size, attributes, read_conditions(query)
            )
        except Refusal:
            self._catalogue.blobs.remove(blob_id)
            raise
        if copy:
            return _send(request, stored)
        return JSONResponse(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": str(stored.size),
                "objectSize": str(stored.size),
                "done": True,
                "resource": stored.as_resource(_base(request)),
            }
        )


def read_conditions(query: Mapping[str, str], infix: str = "") -> Conditions:
    """The preconditions in a query; ``infix`` is ``Source`` for those on a rewrite's source."""
    return Conditions(
        _read_number(query, f"if{infix}GenerationMatch"),
        _read_number(query, f"if{infix}GenerationNotMatch"),
        _read_number(query, f"if{infix}MetagenerationMatch"),
        _read_number(query, f"if{infix}MetagenerationNotMatch"),
    )


def _read_number(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if value is None or value == "":
        return None
    if not value.isdecimal():
        raise invalid(f"{name} must be a number, not {value!r}")
    return int(value)


def _decode_token(token: str) -> tuple[str, int]:
    if not token:
        return "", 0
    try:
        generation, _, name = base64.urlsafe_b64decode(token).decode().partition("/")
        return name, int(generation)
    except ValueError as error:
        raise invalid("the page token is not one of this service") from error


def _send(request: Request, stored: Stored) -> Response:
    resource = stored.as_resource(_base(request))
    headers = {
        "etag": resource["etag"],
        "x-goog-generation": resource["generation"],
        "x-goog-metageneration": resource["metageneration"],
    }
    return JSONResponse(resource, headers=headers)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _no_method(request: Request) -> Refusal:
    return not_implemented(f"{request.method} on {request.url.path}")
