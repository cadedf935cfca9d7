"""The schedule goes on whatever becomes of a call."""

from __future__ import annotations

import socket
import threading

from eventpulse.local.schedule import Schedule
from tests.waiting import wait_until

ANSWERS = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 152\r\n\r\n",
    "a fault": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
}


def test_a_call_whose_server_is_killed_is_not_the_last_one() -> None:
    called: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for answer in ANSWERS.values():
            connection, _ = listener.accept()
            with connection:
                called.append(connection.recv(65536))
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/sweep"
        with Schedule(url, {"Authorization": "Bearer x"}, [0.0]):
            wait_until(lambda: len(called) == len(ANSWERS), "it stopped calling", 20)
