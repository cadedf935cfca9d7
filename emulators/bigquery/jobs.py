"""Correction: jobs. One request at a time, a job id once, statistics that say something.

bqemulator runs every statement on one DuckDB connection, some of them from a thread pool: two
requests at once may read each other's results, and one may see another's open transaction. A
lock around each request makes every job atomic and isolated, as BigQuery's are.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any

import bqemulator.server
from bqemulator.api.routes import jobs as routes
from bqemulator.domain.errors import AlreadyExistsError
from bqemulator.grpc_api.read_servicer import BigQueryReadHandler
from bqemulator.jobs import executor
from bqemulator.sql import parameters
from bqemulator.storage.engine import DuckDBEngine
from starlette.types import ASGIApp, Receive, Scope, Send

# Results that are kept for getQueryResults; BigQuery keeps them a day, the emulator this many.
_KEPT_RESULTS = 256

Handler = Callable[..., Awaitable[Any]]


class OneAtATime:
    """Middleware: a request begins when the one before it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        async with self._lock:
            await self._app(scope, receive, send)
            while len(executor.JOB_RESULTS) > _KEPT_RESULTS:
                oldest = next(iter(executor.JOB_RESULTS))
                executor.JOB_RESULTS.pop(oldest)
                executor.JOB_SCHEMAS.pop(oldest, None)


def install() -> None:
    """Apply the correction."""
    original = bqemulator.server.create_app

    def create_app(context: Any) -> Any:
        app = original(context)
        app.add_middleware(OneAtATime)
        return app

    bqemulator.server.create_app = create_app
    for name in (
        "_handle_query_job",
        "_handle_load_job_with_async_envelope",
        "execute_extract_job",
        "execute_copy_job",
    ):
        setattr(routes, name, _refuse_reuse(getattr(routes, name)))
    BigQueryReadHandler.__init__ = _give_cursor(BigQueryReadHandler.__init__)
    # As they are, BYTES parameters are bound as the base64 text that carries them.
    parameters._SCALAR_CONVERTERS["BYTES"] = base64.b64decode


class _CursorEngine:
    """The engine on a connection of its own: sees what is committed, disturbs nobody."""

    execute = DuckDBEngine.execute
    fetch_arrow = DuckDBEngine.fetch_arrow

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @property
    def connection(self) -> Any:
        """A fresh cursor."""
        cursor = self._engine.connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor


def _give_cursor(original: Any) -> Any:
    """Reads by gRPC run in threads, outside the lock."""

    def build(self: Any, context: Any) -> None:
        original(self, dataclasses.replace(context, engine=_CursorEngine(context.engine)))

    return build


def _refuse_reuse(handler: Handler) -> Handler:
    """Answer 409 to a job id that was used before; count the time that a job took."""

    async def handle(
        project_id: str, job_id: str, config: dict[str, Any], *rest: Any, **options: Any
    ) -> Any:
        context = options.get("ctx") or rest[0]
        if not options.get("dry_run") and context.catalog.get_job(project_id, job_id) is not None:
            raise AlreadyExistsError(f"Already Exists: Job {project_id}:US.{job_id}")
        began = time.monotonic()
        job = await handler(project_id, job_id, config, *rest, **options)
        if isinstance(job, dict):
            return job
        milliseconds = max(1, round((time.monotonic() - began) * 1000))
        return _complete(job, config, milliseconds)

    return handle


def _complete(job: Any, config: dict[str, Any], milliseconds: int) -> Any:
    """A job with the request's own configuration, labels included, and the time it took."""
    configuration = dict(config)
    for kind, settings in (job.configuration or {}).items():
        if isinstance(settings, dict):
            configuration[kind] = {**settings, **config.get(kind, {})}
    statistics = {**(job.statistics or {}), "totalSlotMs": str(milliseconds)}
    if "query" in statistics:
        billed = {"totalBytesBilled": "0", "totalSlotMs": str(milliseconds)}
        statistics["query"] = {**billed, **statistics["query"]}
    return job.model_copy(update={"statistics": statistics, "configuration": configuration})
