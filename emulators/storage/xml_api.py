"""The XML API, as signed URLs use it: PUT, GET, HEAD, DELETE, resumable POST, CORS.

https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emulators.storage.catalogue import Catalogue
from emulators.storage.downloads import describe_headers, send_media
from emulators.storage.errors import Refusal, invalid, not_implemented
from emulators.storage.json_api import JsonApi
from emulators.storage.records import Conditions
from emulators.storage.signatures import Signers, is_signed
from emulators.storage.uploads import Uploads, read_digests, receive_body, too_large

_META = "x-goog-meta-"
# Header of a PUT -> attribute of the resource.
_ATTRIBUTES = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
}
# Query parameter of a GET -> header of its answer.
_OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-disposition": "content-disposition",
}


class XmlApi:
    """Requests on ``/BUCKET/OBJECT``: signed, or with a bearer token, or refused."""

    def __init__(
        self, catalogue: Catalogue, uploads: Uploads, signers: Signers, json_api: JsonApi
    ) -> None:
        self._catalogue = catalogue
        self._uploads = uploads
        self._signers = signers
        self._json_api = json_api

    async def serve(self, request: Request, bucket: str, name: str) -> Response:
        """Answer one request."""
        if request.method == "OPTIONS":
            return self._answer_preflight(request, bucket)
        if request.method in ("PUT", "DELETE") and "upload_id" in request.query_params:
            # The address of a session is a capability: whoever has it may use it.
            return await self._json_api.serve_session(request, request.query_params["upload_id"])
        self._authorize(request)
        response = await self._serve_authorized(request, bucket, name)
        response.headers.update(self._allow_origin(request, bucket))
        return response

    async def _serve_authorized(self, request: Request, bucket: str, name: str) -> Response:
        generation = _read_number(request.query_params, "generation")
        conditions = _read_conditions(request.headers)
        match request.method:
            case "GET" | "HEAD":
                stored = self._catalogue.get(bucket, name, generation, conditions)
                overrides = {
                    header: request.query_params[parameter]
                    for parameter, header in _OVERRIDES.items()
                    if parameter in request.query_params
                }
                path = self._catalogue.blobs.path(stored.blob)
                return send_media(request, stored, path, overrides)
            case "PUT":
                return await self._put(request, bucket, name, conditions)
            case "POST" if request.headers.get("x-goog-resumable") == "start":
                return self._start_session(request, bucket, name, conditions)
            case "DELETE":
                self._catalogue.delete(bucket, name, generation, conditions)
                return Response(status_code=204)
        raise not_implemented(f"{request.method} in the XML API")

    def _authorize(self, request: Request) -> None:
        query = request.scope["query_string"].decode("latin-1")
        if is_signed(query):
            raw_path = request.scope["raw_path"].decode("latin-1")
            self._signers.verify(request.method, raw_path, query, request.headers)
        elif not request.headers.get("authorization", "").startswith("Bearer "):
            message = "Anonymous caller does not have access to the Google Cloud Storage object."
            raise Refusal(403, "forbidden", "AccessDenied", message)

    async def _put(
        self, request: Request, bucket: str, name: str, conditions: Conditions
    ) -> Response:
        least, most = _read_length_range(request.headers)
        announced = _read_number(request.headers, "content-length")
        if announced is not None:
            # Refused before a byte is read, as a precondition is.
            _check_length(announced, least, most)
        self._catalogue.get_bucket(bucket)
        conditions.check(self._catalogue.find(bucket, name))
        digests = read_digests(request.headers, {})
        with self._uploads.new_blob() as blob:
            await receive_body(request, blob, most)
            _check_length(blob.hasher.size, least, most)
            attributes = _read_attributes(request.headers)
            stored = self._uploads.finish(blob, bucket, name, attributes, conditions, digests)
        return Response(headers=describe_headers(stored))

    def _start_session(
        self, request: Request, bucket: str, name: str, conditions: Conditions
    ) -> Response:
        attributes = _read_attributes(request.headers)
        session = self._catalogue.create_session(bucket, name, attributes, conditions)
        location = f"{str(request.url).partition('?')[0]}?upload_id={session.id}"
        return Response(status_code=201, headers={"location": location})

    # -- CORS ----------------------------------------------------------------------------

    def _answer_preflight(self, request: Request, bucket: str) -> Response:
        return Response(headers=self._allow_origin(request, bucket))

    def _allow_origin(self, request: Request, bucket: str) -> dict[str, str]:
        """The headers that the bucket's own CORS configuration grants."""
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        method = request.headers.get("access-control-request-method", request.method)
        for rule in self._catalogue.get_bucket(bucket).get("cors", []):
            if method in rule.get("method", []) and {"*", origin} & set(rule.get("origin", [])):
                headers = ", ".join(rule.get("responseHeader", []))
                return {
                    "access-control-allow-origin": origin,
                    "access-control-allow-methods": ", ".join(rule["method"]),
                    "access-control-allow-headers": headers,
                    "access-control-expose-headers": headers,
                    "access-control-max-age": str(rule.get("maxAgeSeconds", 3600)),
                    "vary": "Origin",
                }
        return {}


def _read_attributes(headers: Mapping[str, str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        attribute: headers[header] for header, attribute in _ATTRIBUTES.items() if header in headers
    }
    metadata = {
        name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)
    }
    return {**attributes, "metadata": metadata} if metadata else attributes


def _read_conditions(headers: Mapping[str, str]) -> Conditions:
    return Conditions(
        generation_match=_read_number(headers, "x-goog-if-generation-match"),
        metageneration_match=_read_number(headers, "x-goog-if-metageneration-match"),
    )


def _read_number(values: Mapping[str, str], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if not value.isdecimal():
        raise invalid(f"{name} must be a number, not {value!r}")
    return int(value)


def _read_length_range(headers: Mapping[str, str]) -> tuple[int, int | None]:
    header = headers.get("x-goog-content-length-range")
    if header is None:
        return 0, None
    match = re.fullmatch(r"(\d+),(\d+)", header)
    if match is None:
        raise invalid(f"x-goog-content-length-range must be LEAST,MOST, not {header!r}")
    return int(match[1]), int(match[2])


def _check_length(size: int, least: int, most: int | None) -> None:
    if most is not None and size > most:
        raise too_large(most)
    if size < least:
        message = "Your proposed upload is smaller than the minimum object size."
        raise Refusal(400, "invalid", "EntityTooSmall", message, f"Minimum: {least}")
