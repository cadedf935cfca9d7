"""The HTTP request of a task: what it carries, and the call that is cut at its deadline."""

from __future__ import annotations

import email.utils
import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from emulators.tasks.protos import HttpMethod
from emulators.tasks.queues import Attempt

# Headers that a task may not set, lower case; prefixes end in a hyphen.
_REPLACED = ("host", "content-length", "user-agent")
_RESERVED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")
_PIECE = 64 * 1024

# (service account, audience) -> ID token.
TokenSource = Callable[[str, str], str]


@dataclass(frozen=True)
class Answer:
    """What a handler answered; ``status`` is None when nothing came by the deadline."""

    status: int | None
    retry_after: float | None = None
    reason: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the task is done."""
        return self.status is not None and 200 <= self.status < 300


def build_headers(attempt: Attempt, mint: TokenSource) -> dict[str, str]:
    """The headers of an attempt: the task's own, Cloud Tasks', and the token."""
    task = attempt.task
    request = task.http_request
    headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in _REPLACED and not name.lower().startswith(_RESERVED_PREFIXES)
    }
    _, queue_id, _, task_id = task.name.rsplit("/", 3)
    scheduled = task.last_attempt.schedule_time
    headers |= {
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": queue_id,
        "X-CloudTasks-TaskName": task_id,
        "X-CloudTasks-TaskRetryCount": str(task.dispatch_count - 1),
        "X-CloudTasks-TaskExecutionCount": str(attempt.executions),
        "X-CloudTasks-TaskETA": f"{scheduled.seconds}.{scheduled.nanos // 1000:06d}",
    }
    if attempt.previous_response is not None:
        headers["X-CloudTasks-TaskPreviousResponse"] = str(attempt.previous_response)
    if request.HasField("oidc_token"):
        audience = request.oidc_token.audience or request.url
        token = mint(request.oidc_token.service_account_email, audience)
        headers["Authorization"] = f"Bearer {token}"
    return headers


def send_request(attempt: Attempt, mint: TokenSource) -> Answer:
    """Make an attempt's call; never raises for what the handler or the network does."""
    request = attempt.task.http_request
    seconds = attempt.task.dispatch_deadline.ToMicroseconds() / 1e6
    split = urlsplit(request.url)
    secure = split.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(split.hostname or "", split.port, timeout=seconds)
    deadline = time.monotonic() + seconds
    try:
        connection.connect()
        # The socket's own timeout is per operation; this ends the call as a whole.
        timer = threading.Timer(deadline - time.monotonic(), _cut, [connection.sock])
        timer.daemon = True
        timer.start()
        try:
            return _exchange(connection, attempt, build_headers(attempt, mint))
        finally:
            timer.cancel()
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        reason = "DEADLINE_EXCEEDED" if late else f"UNAVAILABLE: {error!r}"
        return Answer(None, reason=reason)
    finally:
        connection.close()


def _exchange(
    connection: http.client.HTTPConnection, attempt: Attempt, headers: dict[str, str]
) -> Answer:
    request = attempt.task.http_request
    split = urlsplit(request.url)
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    method = HttpMethod(request.http_method).name
    has_body = method in ("POST", "PUT", "PATCH")
    connection.request(method, target, request.body if has_body else None, headers)
    response = connection.getresponse()
    while response.read(_PIECE):
        pass
    return Answer(response.status, _read_retry_after(response.headers.get("Retry-After")))


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is closed already: the answer came at that very moment.
        return


def _read_retry_after(value: str | None) -> float | None:
    """Seconds from now, of a number or an HTTP date; None for neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
