"""The HTTP server: paths to the two APIs, refusals in each one's shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from emulators.storage.catalogue import Catalogue
from emulators.storage.errors import Refusal, invalid, not_implemented
from emulators.storage.events import Backoff, Dispatcher, Outbox, Trigger
from emulators.storage.json_api import JsonApi
from emulators.storage.signatures import Signers
from emulators.storage.uploads import Uploads
from emulators.storage.xml_api import XmlApi

_logger = logging.getLogger(__name__)


class StorageApp:
    """The ASGI application over one data directory."""

    def __init__(self, catalogue: Catalogue, signers: Signers, backoff: Backoff) -> None:
        self._catalogue = catalogue
        self._outbox = Outbox(catalogue)
        self._dispatcher = Dispatcher(self._outbox, backoff)
        uploads = Uploads(catalogue)
        self._json = JsonApi(catalogue, uploads)
        self._xml = XmlApi(catalogue, uploads, signers, self._json)

    @asynccontextmanager
    async def deliver(self) -> AsyncIterator[None]:
        """Deliver events while the block runs."""
        task = asyncio.create_task(self._dispatcher.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} here")
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)
        if request.method in ("PUT", "POST"):
            self._dispatcher.wake()

    async def _answer(self, request: Request) -> Response:
        raw_path = request.scope["raw_path"].decode("latin-1")
        is_json = raw_path.startswith(_JSON_PREFIXES)
        try:
            return await self._route(request, raw_path)
        except Refusal as refusal:
            if refusal.status == 304:
                return Response(status_code=304)
            return refusal.as_json() if is_json else refusal.as_xml()
        except ClientDisconnect:
            raise
        except Exception:
            _logger.exception("%s %s", request.method, raw_path)
            error = Refusal(500, "internalError", "InternalError", "the emulator has a fault")
            return error.as_json() if is_json else error.as_xml()

    async def _route(self, request: Request, raw_path: str) -> Response:
        try:
            parts = [unquote(part, errors="strict") for part in raw_path.split("/")[1:]]
        except UnicodeDecodeError as error:
            raise invalid("the path is not UTF-8") from error
        match parts:
            case ["storage", "v1", *rest]:
                return await self._route_json(request, rest)
            case ["upload", "storage", "v1", "b", bucket, "o"]:
                return await self._json.upload(request, bucket)
            case ["download", "storage", "v1", "b", bucket, "o", name]:
                return await self._json.serve_object(request, bucket, name)
            case ["_emulator", *rest]:
                return await self._route_emulator(request, rest)
            case ["batch", *_]:
                raise not_implemented("batch requests")
            case [bucket, _, *_] if bucket:
                name = unquote(raw_path.split("/", 2)[2], errors="strict")
                return await self._xml.serve(request, bucket, name)
        raise not_implemented(f"{request.method} {raw_path}")

    async def _route_json(self, request: Request, parts: list[str]) -> Response:
        match parts:
            case ["b"]:
                return await self._json.serve_buckets(request)
            case ["b", bucket]:
                return await self._json.serve_bucket(request, bucket)
            case ["b", bucket, "o"] if request.method == "GET":
                return await self._json.list_objects(request, bucket)
            case ["b", bucket, "o", name]:
                return await self._json.serve_object(request, bucket, name)
            case ["b", bucket, "o", name, "compose"] if request.method == "POST":
                return await self._json.compose(request, bucket, name)
            case ["b", bucket, "o", name, ("rewriteTo" | "copyTo") as verb, "b", to, "o", target]:
                return await self._json.rewrite(
                    request, (bucket, name), (to, target), verb == "copyTo"
                )
        raise not_implemented(f"{request.method} on /{'/'.join(parts)}")

    async def _route_emulator(self, request: Request, parts: list[str]) -> Response:
        """What Cloud Storage does not have: triggers (Eventarc has those) and the outbox."""
        match request.method, parts:
            case "GET", ["outbox"]:
                return JSONResponse({"pending": self._outbox.count()})
            case "GET", ["buckets", bucket, "triggers"]:
                return JSONResponse(self._outbox.get_triggers(bucket))
            case "PUT", ["buckets", bucket, "triggers"]:
                triggers = await request.json()
                self._outbox.set_triggers(bucket, {k: Trigger(**v) for k, v in triggers.items()})
                return JSONResponse(self._outbox.get_triggers(bucket))
        raise not_implemented(f"{request.method} on /_emulator/{'/'.join(parts)}")


_JSON_PREFIXES = ("/storage/", "/upload/", "/download/", "/_emulator/", "/batch")
