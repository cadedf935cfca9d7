"""Which faults of Google's services may pass, and what they become when they do not in time.

The gRPC clients' calls are retried by the clients' own `Retry`; what is left of a fault that may
pass surfaces as BackendUnavailable, with the delay that the service named in `RetryInfo`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import TransportError
from google.rpc.error_details_pb2 import RetryInfo

from eventpulse.errors import BackendUnavailable

TRANSIENT_FAULTS: tuple[type[Exception], ...] = (
    exceptions.Aborted,
    exceptions.BadGateway,
    exceptions.Cancelled,
    exceptions.GatewayTimeout,  # DeadlineExceeded too
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,  # ResourceExhausted too
    exceptions.Unknown,
    TransportError,
)


def make_retry(patience: float) -> Retry:
    """The client library's retry, with full jitter, of every fault that may pass.

    Only for calls that may be made twice. `patience` is in seconds; beyond it RetryError.
    """
    return Retry(
        predicate=if_exception_type(*TRANSIENT_FAULTS),
        initial=0.1,
        maximum=5.0,
        multiplier=2.0,
        timeout=patience,
    )


@contextlib.contextmanager
def name_faults(backend: str, operation: str) -> Iterator[None]:
    """Raise a fault that may pass as BackendUnavailable; others pass through as they are."""
    try:
        yield
    except exceptions.RetryError as error:
        raise _unavailable(backend, operation, error.cause or error) from error
    except TRANSIENT_FAULTS as error:
        raise _unavailable(backend, operation, error) from error


def _unavailable(backend: str, operation: str, cause: Exception) -> BackendUnavailable:
    return BackendUnavailable(backend, operation, cause, retry_after=find_delay(cause))


def find_delay(error: BaseException) -> float | None:
    """The seconds that the service asked to wait, None when it named none."""
    for detail in getattr(error, "details", None) or ():
        if isinstance(detail, RetryInfo):
            return float(detail.retry_delay.ToTimedelta().total_seconds())
    return None
