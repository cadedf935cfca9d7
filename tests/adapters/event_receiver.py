"""An HTTP server that takes CloudEvents, and answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request: headers with lower-case names, and the JSON of its body."""

    headers: Mapping[str, str]
    data: Mapping[str, Any]


def accept(_: Received) -> int:
    """Take every event."""
    return 204


class EventReceiver:
    """Serves at `url` while the context is open; `answer` decides on each event's status."""

    def __init__(self, answer: Callable[[Received], int] = accept) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.retry_after = ""
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/land?x=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> EventReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, event: Received) -> int:
        """Note an event, then decide on it."""
        with self._changed:
            self.received.append(event)
            self._changed.notify_all()
        return self.answer(event)

    def wait_until(self, holds: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Wait until something holds, which is looked at after each event."""
        with self._changed:
            return self._changed.wait_for(holds, seconds)

    def names(self) -> list[str]:
        """The objects that were announced, in the order of their events."""
        with self._changed:
            return [str(event.data["name"]) for event in self.received]


class _Handler(BaseHTTPRequestHandler):
    receiver: EventReceiver
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.receiver.take(Received(headers, json.loads(body)))
        self.send_response_only(status)
        if self.receiver.retry_after:
            self.send_header("Retry-After", self.receiver.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()
