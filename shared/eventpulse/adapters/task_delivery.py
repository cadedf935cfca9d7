"""One attempt to deliver a task: the HTTP call that Cloud Tasks would make, and its answer."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_CONNECT_SECONDS = 10.0
_PIECE = 64 * 1024
# Headers that a task may not set, lower case.
_REPLACED = frozenset({"host", "content-length", "content-type", "connection", "user-agent"})
_RESERVED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A task as one attempt sees it.

    `number` counts the attempts from 1; `executions` the earlier ones that a function answered
    below 500; `due` is the attempt's scheduled time in seconds since 1970.
    """

    name: str
    function: str
    body: bytes
    headers: Mapping[str, str]
    number: int
    executions: int
    due: float
    last_status: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt; `status` is None when there was no answer, `problem` says why."""

    status: int | None
    retry_after: float | None = None
    problem: str = ""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Delivery:
    """The call of one attempt: `run` it in one thread, `abort` it from any other."""

    def __init__(self, attempt: Attempt, url: str, headers: Mapping[str, str]) -> None:
        self.attempt = attempt
        self._url = url
        self._headers = headers
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.aborted = ""

    def run(self) -> Answer:
        """Make the call; whatever the network or the function does is an Answer."""
        parts = urlsplit(self._url)
        secure = parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
            with self._lock:
                if self.aborted:
                    return Answer(None, problem=self.aborted)
                self._socket = connection.sock
            # From here `abort` is what ends a call that takes too long.
            connection.sock.settimeout(None)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, self.attempt.body, dict(self._headers))
            response = connection.getresponse()
            while response.read(_PIECE):
                pass
            delay = parse_retry_after(response.headers.get("Retry-After"), time.time())
            return Answer(response.status, delay)
        except (OSError, http.client.HTTPException) as error:
            return Answer(None, problem=self.aborted or repr(error))
        finally:
            with self._lock:
                self._socket = None
            connection.close()

    def abort(self, reason: str) -> None:
        """End the call now; `run` then answers without a status."""
        with self._lock:
            self.aborted = self.aborted or reason
            if self._socket is not None:
                with contextlib.suppress(OSError):  # the other end closed it first
                    # Not TLS's own shutdown, which would change what the reading thread uses.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def make_headers(attempt: Attempt, queue: str, token: str | None) -> dict[str, str]:
    """The headers of an attempt: the task's own, Cloud Tasks', and the token."""
    headers = {
        name: value
        for name, value in attempt.headers.items()
        if name.lower() not in _REPLACED and not name.lower().startswith(_RESERVED_PREFIXES)
    }
    headers |= {
        "Content-Type": "application/json",
        "Connection": "close",
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": queue,
        "X-CloudTasks-TaskName": attempt.name,
        "X-CloudTasks-TaskRetryCount": str(attempt.number - 1),
        "X-CloudTasks-TaskExecutionCount": str(attempt.executions),
        "X-CloudTasks-TaskETA": f"{attempt.due:.6f}",
    }
    if attempt.last_status is not None:
        headers["X-CloudTasks-TaskPreviousResponse"] = str(attempt.last_status)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from `now`, of a Retry-After in seconds or as a date; None for anything else."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
