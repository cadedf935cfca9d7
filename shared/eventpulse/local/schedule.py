"""The schedule of one machine: calls `sweep` as Cloud Scheduler does."""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Self

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 600.0


class Schedule:
    """Posts to `url` after each of `waits` (in seconds, the last one for ever), one at a time."""

    def __init__(self, url: str, headers: Mapping[str, str], waits: Iterable[float]) -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._waits = list(waits)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Make no more calls. One that is under way ends with the functions, and is harmless."""
        self._stopping.set()

    def _run(self) -> None:
        for wait in itertools.chain(self._waits, itertools.repeat(self._waits[-1])):
            if self._stopping.wait(wait):
                return
            try:
                self._call()
            except (OSError, http.client.HTTPException) as fault:
                if not self._stopping.is_set():
                    logger.warning("the schedule could not call %s: %s", self._url, fault)

    def _call(self) -> None:
        request = urllib.request.Request(
            self._url, json.dumps({}).encode(), self._headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            response.read()
