"""Structured logs: one JSON object a line, as Cloud Logging reads it, and the request's context.

The context (request id, trace, actor) lives in a context variable: it is in every log line, in
every event of the log (`cause`) and in the headers of every task, so that one upload can be
followed through all functions.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import TextIO

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")


@dataclass(frozen=True, slots=True)
class Context:
    request_id: str = ""
    traceparent: str = ""
    actor: str = ""
    function: str = ""


_NO_CONTEXT = Context()
_context: ContextVar[Context] = ContextVar("eventpulse_context", default=_NO_CONTEXT)


def current_context() -> Context:
    return _context.get()


@contextmanager
def bound_context(context: Context) -> Iterator[None]:
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def set_actor(actor: str) -> None:
    """Name who acts in the rest of this request."""
    _context.set(replace(_context.get(), actor=actor))


def context_from_headers(header: Callable[[str, str], str], function: str) -> Context:
    """The caller's request id and trace where they are well formed, else new ones.

    `header` gives a header's value by name, or the given default: a mapping's `get`.
    """
    request_id = header("X-Request-ID", "")
    trace = header("traceparent", "")
    return Context(
        request_id=request_id if _REQUEST_ID.match(request_id) else secrets.token_hex(8),
        traceparent=_next_span(trace),
        function=function,
    )


def _next_span(traceparent: str) -> str:
    found = _TRACEPARENT.match(traceparent)
    trace = found.group(1) if found else secrets.token_hex(16)
    return f"00-{trace}-{secrets.token_hex(8)}-01"


def propagation_headers() -> dict[str, str]:
    """What a task or an outgoing request carries so that its logs join this request's."""
    context = _context.get()
    headers = {"X-Request-ID": context.request_id, "traceparent": context.traceparent}
    return {name: value for name, value in headers.items() if value}


def event_cause() -> dict[str, str]:
    """What an event of the log records of the request that made it."""
    return {name: value for name, value in asdict(_context.get()).items() if value}


class JsonFormatter(logging.Formatter):
    """Cloud Logging's structured fields; `extra={"fields": {...}}` adds more."""

    def format(self, record: logging.LogRecord) -> str:
        context = _context.get()
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{record.msecs:03.0f}Z",
            "message": record.getMessage(),
            "logger": record.name,
        }
        line.update({k: v for k, v in asdict(context).items() if v})
        found = _TRACEPARENT.match(context.traceparent)
        if found:
            line["logging.googleapis.com/trace"] = found.group(1)
            line["logging.googleapis.com/spanId"] = found.group(2)
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: it may have been replaced since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(level: str = "INFO") -> None:
    """Send the package's records to standard error as JSON lines; idempotent."""
    logger = logging.getLogger("eventpulse")
    if not any(isinstance(h.formatter, JsonFormatter) for h in logger.handlers):
        handler = _StderrHandler()
        formatter = JsonFormatter()
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(level)
