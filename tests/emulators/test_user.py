"""What people do to a stack is done when the stack closes an idle connection just as it is used."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulators.user import StackUser

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Resetting:
    """A stack that answers the first request of each connection, and resets it at the second."""

    server: socket.socket
    token: str = "t"
    platform: Any = None
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        host, port = self.server.getsockname()
        return f"http://{host}:{port}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.requests.append(connection.recv(65536))
            connection.sendall(ANSWER)
            self.requests.append(connection.recv(65536))
            now = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            connection.close()


@pytest.fixture
def stack() -> Iterator[Resetting]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stack = Resetting(server)
        threading.Thread(target=stack.serve, daemon=True).start()
        yield stack
        server.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_is_reset_is_made_anew(stack: Resetting) -> None:
    user = StackUser(stack)
    user.get("ingestions")
    user.get("ingestions")
    assert len(stack.requests) >= 3


def test_a_request_that_comes_twice_has_one_key(stack: Resetting) -> None:
    user = StackUser(stack)
    user.get("ingestions")
    user.post("ingestions/1/replay")
    keys = [
        line
        for request in stack.requests
        for line in request.splitlines()
        if line.startswith(b"Idempotency-Key: ")
    ]
    assert len(keys) == 2
    assert len(set(keys)) == 1
