"""What people do to a stack: suppliers upload into the raw bucket, operators ask its API."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import requests

from eventpulse.client import make_session
from eventpulse.ingestions.ingestion import Ingestion, from_head
from eventpulse.local.home import Home
from eventpulse.pipeline.land import identify
from eventpulse.pipeline.marts import stale_datasets
from eventpulse.platform import Platform
from eventpulse.settings import read_settings
from eventpulse.wiring import WiredPlatform

Answer = dict[str, Any]

PAGE = 200
TIMEOUT_SECONDS = 120.0
_LOOK_SECONDS = 0.05
_REQUEST_SECONDS = 60.0


class NotEnded(TimeoutError):
    """Something that a stack was to do was not done in time; `waiting` says what."""

    def __init__(self, waiting: Sequence[str], seconds: float) -> None:
        super().__init__(f"after {seconds:.0f} s there still waits: {', '.join(waiting)}")
        self.waiting = tuple(waiting)


class ReachableStack(Protocol):
    """A stack that runs in this process or in another."""

    @property
    def url(self) -> str: ...

    @property
    def token(self) -> str: ...

    @property
    def platform(self) -> Platform: ...


@dataclass(frozen=True)
class AttachedStack:
    """A stack of the local lane that another process runs."""

    url: str
    token: str
    platform: Platform

    @classmethod
    def find(cls, home: Path) -> Self | None:
        """The stack that runs on a home, as its stack.json tells; None when none does."""
        running = Home(home).read_stack()
        if running is None:
            return None
        platform = WiredPlatform(read_settings(running["environment"]))
        return cls(running["url"], running["token"], platform)


class StackUser:
    """Uploads into a stack's raw bucket, and calls its API with the operator's token."""

    def __init__(self, stack: ReachableStack) -> None:
        self.stack = stack
        self._session = make_session(stack.token)

    # --- Suppliers -------------------------------------------------------------------------------

    def upload(self, name: str, content: bytes) -> str:
        """Create the next generation of a raw object; the id that its ingestion will have."""
        objects = self.stack.platform.objects
        with objects.write("raw", name, content_type="text/csv", replace=True) as out:
            out.write(content)
        return identify(objects.bucket_name("raw"), name, out.stored.ref.generation)

    def upload_together(self, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Create raw objects at the same moment; their ingestions' ids in the same order."""
        start = threading.Barrier(len(files))

        def upload(file: tuple[str, bytes]) -> str:
            start.wait(TIMEOUT_SECONDS)
            return self.upload(*file)

        with ThreadPoolExecutor(len(files)) as pool:
            return list(pool.map(upload, files))

    # --- Operators -------------------------------------------------------------------------------

    def get(self, path: str, **query: object) -> Answer:
        """The answer of `GET /api/<path>`. Raises requests.HTTPError."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """The answer of `POST /api/<path>`. Raises requests.HTTPError."""
        once = {"Idempotency-Key": uuid.uuid4().hex}
        return self._call("POST", path, json=body, headers=once)

    def ingestion(self, ingestion_id: str) -> Answer:
        """What the API says of one ingestion."""
        return self.get(f"ingestions/{ingestion_id}")

    def list_ingestions(self, **query: object) -> list[Answer]:
        """Every ingestion that the filters let through, the oldest first."""
        found: list[Answer] = []
        cursor: str | None = None
        while True:
            page = self.get("ingestions", limit=PAGE, cursor=cursor, **query)
            found += page["ingestions"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found[::-1]

    def replay(self, ingestion_id: str) -> str:
        """Ask for a replay; its id."""
        return str(self.post(f"ingestions/{ingestion_id}/replay")["id"])

    def retract(self, ingestion_id: str) -> None:
        """Ask that an ingestion's rows be taken back."""
        self.post(f"ingestions/{ingestion_id}/retract")

    def digest(self, dataset: str) -> str:
        """The digest of a curated table."""
        return str(self.get(f"datasets/{dataset}/digest")["digest"])

    def verify(self, dataset: str, seconds: float = TIMEOUT_SECONDS) -> Answer:
        """What the verification of a curated table has found. Raises NotEnded."""
        path = f"verifications/{self.post(f'datasets/{dataset}/verify')['id']}"

        def waiting() -> list[str]:
            return [path] if self.get(path)["state"] == "running" else []

        await_none(waiting, seconds)
        return self.get(path)

    def _call(self, method: str, path: str, **arguments: Any) -> Answer:
        response = self._session.request(
            method, f"{self.stack.url}/api/{path}", timeout=_REQUEST_SECONDS, **arguments
        )
        if not response.ok:
            raise requests.HTTPError(f"{method} {path}: {response.text}", response=response)
        answer: Answer = response.json()
        return answer

    # --- Waiting ---------------------------------------------------------------------------------

    def look(self, ids: Iterable[str]) -> dict[str, Ingestion | None]:
        """Ingestions as the log has them now; None for one that has not landed."""
        heads = self.stack.platform.log.heads([f"ingestion/{each}" for each in ids])
        return {head.stream.partition("/")[2]: from_head(head) for head in heads}

    def await_ends(
        self,
        ids: Sequence[str],
        seconds: float = TIMEOUT_SECONDS,
        show: Callable[[Mapping[str, Ingestion | None]], None] | None = None,
    ) -> list[Ingestion]:
        """The ingestions once none of them has anything before it. Raises NotEnded."""
        seen: Mapping[str, Ingestion | None] = {}

        def waiting() -> list[str]:
            nonlocal seen
            seen = self.look(ids)
            if show is not None:
                show(seen)
            return [each for each, found in seen.items() if found is None or is_under_way(found)]

        await_none(waiting, seconds)
        return [found for each in ids if (found := seen[each]) is not None]

    def await_marts(self, seconds: float = TIMEOUT_SECONDS) -> None:
        """Wait until every mart has what was loaded. Raises NotEnded."""
        await_none(lambda: list(stale_datasets(self.stack.platform)), seconds)


def is_under_way(ingestion: Ingestion) -> bool:
    """Whether a step of it is still to come."""
    return ingestion.step is not None or ingestion.awaiting_load


def await_none(waiting: Callable[[], Sequence[str]], seconds: float) -> None:
    """Look until nothing waits. Raises NotEnded with what did."""
    end = time.monotonic() + seconds
    while left := waiting():
        if time.monotonic() > end:
            raise NotEnded(left, seconds)
        time.sleep(_LOOK_SECONDS)
