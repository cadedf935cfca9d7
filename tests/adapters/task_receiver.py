"""A function's place in the tests of queues: an HTTP server that records and answers as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE = 60.0  # what never comes fails a test after this many seconds


@dataclass(frozen=True)
class Call:
    """A request as it came; header names are lower case, `at` is seconds since 1970."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def task(self) -> str:
        return self.headers["x-cloudtasks-taskname"]

    @property
    def retry_count(self) -> int:
        return int(self.headers["x-cloudtasks-taskretrycount"])

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to answer; status 0 closes the connection without a word."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver:
    """Answers 200, or what `answer` says; several calls at once, each in a thread."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.answer: Callable[[Call], Answer] = lambda _: Answer()
        self.running = 0
        self.most_running = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _make_handler(self))
        self.port = int(self._server.server_port)
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def calls_of(self, task: str) -> list[Call]:
        with self._changed:
            return [call for call in self.calls if call.task == task]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Block until `condition` holds; it is looked at whenever a call begins or ends."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.calls

    def wait_for_calls(self, number: int) -> list[Call]:
        """Block until there were so many calls; answers them all."""
        self.wait_until(lambda: len(self.calls) >= number)
        return list(self.calls)

    def handle(self, call: Call) -> Answer:
        with self._changed:
            self.calls.append(call)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self._changed.notify_all()
        try:
            return self.answer(call)
        finally:
            with self._changed:
                self.running -= 1
                self._changed.notify_all()


def answer_in_turn(*answers: Answer) -> Callable[[Call], Answer]:
    """These answers one after the other, then 200."""
    left = list(answers)
    return lambda _: left.pop(0) if left else Answer()


def wait_until(condition: Callable[[], bool]) -> None:
    """Block until `condition` holds, looking often."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was awaited did not come"
        time.sleep(0.01)


def _make_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at = time.time()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.handle(Call(self.command, self.path, headers, body, at))
            if answer.status == 0:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
