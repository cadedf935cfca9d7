"""The one error tree.

    EventPulseError                  code, retryable, fields
    ├── TerminalError                trying again changes nothing: recorded, then answered 2xx
    │   ├── ObjectMissing            bucket, name, generation
    │   ├── ObjectExists             bucket, name
    │   ├── FileUnreadable           object, problem, remedy
    │   ├── ContractInvalid          source, problems
    │   ├── LoadRejected             table, job_id, problem
    │   ├── PublishOvertaken         dataset, fence
    │   ├── TableConflict            table, column, found, wanted
    │   ├── BooksUnbalanced          subject, counts
    │   ├── RequestRefused           status, title: an HTTP answer in the 4xx
    │   │   └── RateLimited          429 with retry_after: the caller tries again later
    │   └── SettingInvalid           name, value, expected
    ├── TransientError               raised to the caller, who tries again; retry_after in seconds
    │   ├── BackendUnavailable       backend, operation, problem
    │   └── BuildOvertaken           name, build
    └── InternalFault                what is left: a fault of the code, answered 500 and logged

Bad data is never an error here: the core returns it as findings. A lost race is no error either:
`EventLog.commit` returns a `Conflict`.
"""

from __future__ import annotations

from typing import ClassVar


class EventPulseError(Exception):
    """Base of every error that EventPulse raises.

    `fields` holds the evidence (table, column, object …) as JSON-compatible values, so that nobody
    parses the message.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None


class TerminalError(EventPulseError):
    code = "terminal"


class InternalFault(EventPulseError):
    """How an unforeseen exception is answered: its own words stay in the log."""

    code = "internal_fault"

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong in EventPulse itself; nothing that you sent is to blame. The log "
            "tells more under this request_id."
        )


class TransientError(EventPulseError):
    """A fault that may pass. `retry_after` is in seconds, None when the backend named none."""

    code = "transient"
    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: object) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class BackendUnavailable(TransientError):
    code = "backend_unavailable"

    def __init__(
        self,
        backend: str,
        operation: str,
        problem: object,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            f"{backend} could not {operation}: {problem}",
            retry_after=retry_after,
            backend=backend,
            operation=operation,
            problem=str(problem),
        )


class ObjectMissing(TerminalError):
    code = "object_missing"

    def __init__(self, bucket: str, name: str, generation: int | None = None) -> None:
        which = "" if generation is None else f" (generation {generation})"
        super().__init__(
            f"There is no object {name!r}{which} in the bucket {bucket!r}.",
            bucket=bucket,
            name=name,
            generation=generation,
        )


class ObjectExists(TerminalError):
    code = "object_exists"

    def __init__(self, bucket: str, name: str) -> None:
        super().__init__(
            f"The object {name!r} exists already in the bucket {bucket!r} and is not replaced.",
            bucket=bucket,
            name=name,
        )


class FileUnreadable(TerminalError):
    """A file that cannot be read at all. `problem` says what is wrong, `remedy` what to do."""

    code = "unreadable"

    def __init__(self, object_name: str, problem: str, remedy: str, **fields: object) -> None:
        super().__init__(
            f"{object_name}: {problem} {remedy}",
            object=object_name,
            problem=problem,
            remedy=remedy,
            **fields,
        )


class ContractInvalid(TerminalError):
    """`problems` is a list of "path: what is wrong, what to do" strings, one per fault."""

    code = "contract_invalid"

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__(
            f"{source}: " + "; ".join(problems), source=source, problems=list(problems)
        )


class LoadRejected(TerminalError):
    """The warehouse refused a load job for good; its job_id is spent and no row was added."""

    code = "load_rejected"

    def __init__(self, table: str, job_id: str, problem: object) -> None:
        super().__init__(
            f"The warehouse refused the load job {job_id} into {table}: {problem}",
            table=table,
            job_id=job_id,
            problem=str(problem),
        )


class BuildOvertaken(TransientError):
    """A build of a mart that comes after a later one; it changed nothing. Whoever tries again finds
    what the later one made."""

    code = "build_overtaken"

    def __init__(self, name: str, build: str) -> None:
        super().__init__(
            f"A later build of the mart {name} has taken over from {build}.",
            name=name,
            build=build,
        )


class PublishOvertaken(TerminalError):
    """A publish that comes after a later decision on the same dataset; it changed nothing."""

    code = "publish_overtaken"

    def __init__(self, dataset: str, fence: int) -> None:
        super().__init__(
            f"A later publish of {dataset} was done already; this one (fence {fence}) changes "
            "nothing.",
            dataset=dataset,
            fence=fence,
        )


class TableConflict(TerminalError):
    """A table exists whose column cannot become what the contract wants without losing data."""

    code = "table_conflict"

    def __init__(self, table: str, column: str, found: str, wanted: str) -> None:
        super().__init__(
            f"The column {column!r} of {table} is {found} and the contract wants {wanted}; "
            "publish the contract under a new dataset name, or keep the type.",
            table=table,
            column=column,
            found=found,
            wanted=wanted,
        )


class BooksUnbalanced(TerminalError):
    code = "books_unbalanced"

    def __init__(self, subject: str, equation: str, **counts: int) -> None:
        super().__init__(
            f"The books of {subject} do not balance: {equation} with "
            + ", ".join(f"{name}={count}" for name, count in counts.items()),
            subject=subject,
            counts=counts,
        )


class RequestRefused(TerminalError):
    """An HTTP request that is answered in the 4xx; `code` names the reason for programs."""

    def __init__(self, status: int, code: str, title: str, detail: str, **fields: object) -> None:
        super().__init__(detail, status=status, title=title, **fields)
        self.status = status
        self.title = title
        self.__dict__["code"] = code


class RateLimited(RequestRefused):
    """The caller asks too often; nothing is wrong with what it asked. `retry_after` in seconds."""

    retryable = True

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(429, "rate_limited", "Too many requests", detail)
        self.retry_after = retry_after


class SettingInvalid(TerminalError):
    code = "setting_invalid"

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(
            f"The setting {name}={value!r} is not usable: expected {expected}.",
            name=name,
            value=value,
            expected=expected,
        )
