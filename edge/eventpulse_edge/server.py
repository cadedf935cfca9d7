"""The cloud, over HTTP: signed requests, and answers that are sure to come from it.

ServerError
  Unreachable     no answer, or none that is the server's: try again (retry_after)
    Rejected      the server does not know us, now: try again rarely
  Refused         the server's final word on this request: code, status, problem
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from eventpulse_edge import VERSION
from eventpulse_edge.clock import Timeline, parse_time
from eventpulse_edge.identity import Identity, Key, hash_body

PREFIX = "/api/edge"
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
TOTAL_SECONDS = 120.0
MAX_ANSWER = 1 << 20
REJECTED_SECONDS = 600.0

_log = logging.getLogger("eventpulse.edge.server")


class ServerError(Exception):
    """Root of the tree above."""


class Unreachable(ServerError):
    """`retry_after` in seconds, when the server asks for it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(Unreachable):
    """Revoked, unknown, or a key that the server does not know; an operator may change that."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, REJECTED_SECONDS)
        self.code = code


class Refused(ServerError):
    """`problem` is the RFC 9457 document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", ""))
        self.problem = problem
        super().__init__(f"{status} {self.code}: {problem.get('detail', '')}")


@dataclass(frozen=True, slots=True)
class Answer:
    """`document` is empty for 204 and 304."""

    status: int
    document: Mapping[str, Any]
    etag: str | None


class Server:
    """One thread's connection. `identity` and `key` are asked anew for each request."""

    def __init__(
        self,
        base: str,
        timeline: Timeline,
        *,
        credentials: Callable[[], tuple[Identity, Key]] | None = None,
        ca: str | None = None,
    ) -> None:
        self._base = base.rstrip("/")
        self._timeline = timeline
        self._credentials = credentials
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"eventpulse-edge/{VERSION}"
        self._session.trust_env = False
        if ca is not None:
            self._session.verify = ca

    @property
    def base(self) -> str:
        return self._base

    def close(self) -> None:
        self._session.close()

    def ensure_time(self) -> None:
        """Learn the time if nothing is known of it; raises Unreachable."""
        if self._timeline.now() is None:
            self.fetch_time()

    def fetch_time(self, *, replace: bool = False) -> None:
        """Learn the server's time. `replace`: what we took for the time was refused."""
        clock = self._timeline.clock
        sent = clock.mono()
        answer = self._send("GET", "/time", None, {})
        received = clock.mono()
        try:
            now = parse_time(str(answer.document["now"]))
        except (KeyError, ValueError) as error:
            raise Unreachable(f"the server's time cannot be read: {error}") from error
        self._timeline.observe_server(now, sent, received, replace=replace)

    def call(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        etag: str | None = None,
        key: Key | None = None,
    ) -> Answer:
        """A signed request below /api/edge. Raises Unreachable, Rejected or Refused.

        `key`: another key than the one in use signs it.
        """
        self.ensure_time()
        try:
            return self._call_once(method, path, document, etag, key)
        except Refused as error:
            if error.status != 401:
                raise
            _log.warning(
                "the server refuses our token: asking for its time",
                extra={"fields": {"code": error.code, "offset": self._timeline.offset()}},
            )
        self.fetch_time(replace=True)
        try:
            return self._call_once(method, path, document, etag, key)
        except Refused as error:
            if error.status != 401:
                raise
            raise Rejected(str(error), error.code) from error

    def call_unsigned(self, method: str, path: str, document: Mapping[str, Any]) -> Answer:
        return self._send(method, path, _encode(document), {})

    def put(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> int:
        """Send a batch's bytes; the status. Nothing in the answer is believed."""
        try:
            with self._session.request(
                method,
                url,
                data=content,
                headers=dict(headers),
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            ) as response:
                return response.status_code
        except (requests.RequestException, OSError) as error:
            raise Unreachable(_explain(error)) from error

    def _call_once(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None,
        etag: str | None,
        key: Key | None,
    ) -> Answer:
        assert self._credentials is not None
        identity, own = self._credentials()
        body = _encode(document)
        now = self._timeline.now()
        assert now is not None
        claims = {
            "iss": identity.device,
            "sub": identity.device,
            "aud": identity.audience,
            "htm": method,
            "htu": f"{PREFIX}{path}",
            "bh": hash_body(body or b""),
        }
        headers = {"Authorization": f"Bearer {(key or own).sign(claims, now.utc)}"}
        if etag is not None:
            headers["If-None-Match"] = etag
        return self._send(method, path, body, headers)

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            with self._session.request(
                method,
                f"{self._base}{PREFIX}{path}",
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            ) as response:
                content = self._read(response)
        except (requests.RequestException, OSError) as error:
            raise Unreachable(_explain(error)) from error
        return _judge(response, content)

    def _read(self, response: requests.Response) -> bytes:
        """The body, unless it is endless or drips."""
        clock = self._timeline.clock
        began = clock.mono()
        content = b""
        for chunk in response.iter_content(256):
            content += chunk
            if len(content) > MAX_ANSWER:
                raise Unreachable("the answer is longer than 1 MiB: not the server's")
            if clock.mono() - began > TOTAL_SECONDS:
                raise Unreachable(f"the answer did not end within {TOTAL_SECONDS:g} s")
        return content


def _encode(document: Mapping[str, Any] | None) -> bytes | None:
    return None if document is None else json.dumps(document, separators=(",", ":")).encode()


def _judge(response: requests.Response, content: bytes) -> Answer:
    """Sort answers: the server's, its refusals, and what is not from it."""
    status = response.status_code
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status in (204, 304):
        return Answer(status, {}, response.headers.get("ETag"))
    if 200 <= status < 300 and kind == "application/json":
        return Answer(status, _decode(content), response.headers.get("ETag"))
    retry_after = _read_retry_after(response.headers.get("Retry-After"))
    if kind != "application/problem+json":
        raise Unreachable(
            f"HTTP {status} with {kind or 'no content type'}: not an answer of the server "
            "(a captive portal, a proxy, or a wrong address?)",
            retry_after if status in (429, 503) else None,
        )
    problem = _decode(content)
    code = str(problem.get("code", ""))
    message = f"HTTP {status} {code}: {problem.get('detail', problem.get('title', ''))}"
    if status == 403 and code in ("device_revoked", "device_unknown", "key_unknown"):
        raise Rejected(message, code)
    if status == 401 or problem.get("retryable") is False:
        raise Refused(status, problem)
    raise Unreachable(message, retry_after)


def _decode(content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise Unreachable(f"the answer is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unreachable("the answer is no JSON object")
    return document


def _read_retry_after(value: str | None) -> float | None:
    """Seconds; a date is taken relative to nothing we trust, so it counts as a minute."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        parsedate_to_datetime(value)
    except ValueError:
        return None
    return 60.0


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")
