"""As `google_faults`, for Google's clients that speak HTTP through requests (Cloud Storage)."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError, TransportError

from eventpulse.errors import BackendUnavailable

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_FAULTS: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    TransportError,
    http.client.HTTPException,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


def may_pass(fault: BaseException | None) -> bool:
    """Whether trying again later may succeed."""
    if isinstance(fault, (RetryError, *_TRANSIENT_FAULTS)):
        return True
    if isinstance(fault, GoogleAuthError):
        return bool(fault.retryable)
    return find_status(fault) in _TRANSIENT_STATUSES


def find_status(fault: BaseException | None) -> int | None:
    """The HTTP status of an answer that a client raised as an exception."""
    if isinstance(fault, GoogleAPICallError):
        return None if fault.code is None else int(fault.code)
    status: int | None = getattr(getattr(fault, "response", None), "status_code", None)
    return status


def find_retry_after(fault: BaseException | None) -> float | None:
    """The seconds of the answer's Retry-After, None when it named none."""
    headers = getattr(getattr(fault, "response", None), "headers", None) or {}
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


@contextlib.contextmanager
def name_http_faults(backend: str, operation: str) -> Iterator[None]:
    """Raise a fault that may pass as BackendUnavailable; others pass through as they are."""
    try:
        yield
    except Exception as fault:
        if not may_pass(fault):
            raise
        cause = fault.cause if isinstance(fault, RetryError) else fault
        raise BackendUnavailable(
            backend, operation, cause or fault, retry_after=find_retry_after(cause)
        ) from fault
