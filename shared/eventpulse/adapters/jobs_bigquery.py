"""BigQuery's jobs: how each ends, which faults may pass, and what it cost.

A load job's id is used once, whatever becomes of it. So a second run finds the first by its id, and
a job that failed for a reason that may pass is said to be spent: the caller tries under another id.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery

from eventpulse.adapters.google_http_faults import find_retry_after, may_pass
from eventpulse.errors import BackendUnavailable

BACKEND = "BigQuery"

logger = logging.getLogger(__name__)

# The reasons of errors that may pass, of requests and of jobs.
_TRANSIENT_REASONS = frozenset(
    (
        "backendError",
        "badGateway",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "stopped",
        "tableUnavailable",
        "timeout",
    )
)
# A transaction that met another one on the same table has no reason of its own.
_CONCURRENT_UPDATES = ("aborted due to concurrent update", "could not serialize access")


class JobFailed(Exception):
    """A load job that ended in an error for good: BigQuery's words."""


@contextlib.contextmanager
def name_faults(operation: str) -> Iterator[None]:
    """Raise a fault that may pass as BackendUnavailable; others pass through as they are."""
    try:
        yield
    except Exception as fault:
        if not may_pass(fault) and not _has_transient_reason(fault):
            raise
        cause = fault.cause if isinstance(fault, exceptions.RetryError) else fault
        raise BackendUnavailable(
            BACKEND, operation, cause or fault, retry_after=find_retry_after(cause)
        ) from fault


def await_load(job: bigquery.LoadJob, operation: str, retry: Retry) -> None:
    """Wait for a load job to end.

    Raises JobFailed, or BackendUnavailable: with `job_spent` True when the job itself failed.
    """
    try:
        with name_faults(operation):
            job.result(retry=retry)
    except (exceptions.GoogleAPICallError, BackendUnavailable) as fault:
        error = job.error_result
        if error is None:
            raise
        if error.get("reason") not in _TRANSIENT_REASONS:
            raise JobFailed(_describe(job)) from fault
        unavailable = BackendUnavailable(BACKEND, operation, _describe(job))
        unavailable.fields["job_spent"] = True
        raise unavailable from fault


def log_cost(job: bigquery.LoadJob | bigquery.QueryJob, purpose: str, table: str) -> None:
    """One line per job: what it was for, and what it is billed."""
    logger.info(
        "%s job for %s: %s bytes processed, %s billed, %s slot ms",
        purpose,
        table,
        getattr(job, "total_bytes_processed", None) or 0,
        getattr(job, "total_bytes_billed", None) or 0,
        slot_milliseconds(job),
    )


def slot_milliseconds(job: Any) -> int:
    """Of any job; the client only shows it of queries."""
    return int(job._properties.get("statistics", {}).get("totalSlotMs", 0))


def _has_transient_reason(fault: BaseException) -> bool:
    if not isinstance(fault, exceptions.GoogleAPICallError):
        return False
    reasons = {error.get("reason") for error in fault.errors if isinstance(error, Mapping)}
    if reasons & _TRANSIENT_REASONS:
        return True
    message = str(fault.message).lower()
    return any(words in message for words in _CONCURRENT_UPDATES)


def _describe(job: Any) -> str:
    """The job's errors, each once. They name files, columns and places."""
    messages = [str(error.get("message", error)) for error in job.errors or [job.error_result]]
    return "; ".join(dict.fromkeys(messages))
