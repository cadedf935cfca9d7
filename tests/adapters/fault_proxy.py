"""An HTTP proxy that is transparent but for the faults that a test scripts.

It stands in front of any HTTP service and passes bodies on as they stream. Each fault has a number
of requests to spoil, and chooses them by method and by a part of the target; the first that fits is
taken. `requests` are the (method, target) pairs that came, also those that were spoiled.
"""

from __future__ import annotations

import http.client
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

_BLOCK = 1 << 16
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})

Kind = Literal["answer", "reset", "swallow", "cut_answer", "cut_request", "flip"]


def do_nothing() -> None:
    """The default of what happens once a request was spoiled."""


@dataclass
class _Fault:
    kind: Kind
    times: int
    method: str
    part: str
    meanwhile: Callable[[], None]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    at: int = 0  # byte of the body


class FaultProxy:
    """Serves at `url`, in front of `target` (`http://host:port`), while the context is open."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.netloc = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.netloc}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(
        self,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        method: str = "",
        part: str = "",
        meanwhile: Callable[[], None] = do_nothing,
    ) -> None:
        """Answer with `status` instead of the service, which does not see the request."""
        self._add(
            _Fault("answer", times, method, part, meanwhile, status=status, headers=headers or {})
        )

    def reset(self, *, times: int = 1, method: str = "", part: str = "") -> None:
        """Reset the connection; the service does not see the request."""
        self._add(_Fault("reset", times, method, part, do_nothing))

    def swallow(
        self,
        *,
        times: int = 1,
        method: str = "",
        part: str = "",
        meanwhile: Callable[[], None] = do_nothing,
    ) -> None:
        """Let the service do its work, lose its answer and reset the connection."""
        self._add(_Fault("swallow", times, method, part, meanwhile))

    def cut_answer(self, at: int, *, times: int = 1, method: str = "", part: str = "") -> None:
        """Reset the connection after `at` bytes of the answer's body."""
        self._add(_Fault("cut_answer", times, method, part, do_nothing, at=at))

    def cut_request(self, at: int, *, times: int = 1, method: str = "", part: str = "") -> None:
        """Pass `at` bytes of the request's body on, then reset both connections."""
        self._add(_Fault("cut_request", times, method, part, do_nothing, at=at))

    def flip(self, at: int, *, times: int = 1, method: str = "", part: str = "") -> None:
        """Damage the byte `at` of the answer's body."""
        self._add(_Fault("flip", times, method, part, do_nothing, at=at))

    def heal(self) -> None:
        """Forget the faults that were not used."""
        with self._lock:
            self._faults.clear()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def take(self, method: str, target: str) -> _Fault | None:
        """Note a request; answer what shall happen to it."""
        with self._lock:
            self.requests.append((method, target))
            for fault in self._faults:
                if fault.times > 0 and fault.method in ("", method) and fault.part in target:
                    fault.times -= 1
                    return fault
        return None

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the service."""
        return http.client.HTTPConnection(self._target.netloc, timeout=60)

    def point_here(self, location: str) -> str:
        """An absolute URL of the service, as one of the proxy."""
        return location.replace(f"//{self._target.netloc}/", f"//{self.netloc}/")


class _Cut(Exception):
    pass


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"proxy": proxy})


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        fault = self.proxy.take(self.command, self.path)
        try:
            if fault is not None and fault.kind == "reset":
                raise _Cut
            if fault is not None and fault.kind == "answer":
                for _ in self._body():
                    pass
                fault.meanwhile()
                self._answer(fault.status, fault.headers, iter((b"a fault made by the test",)))
            else:
                self._forward(fault)
        except (_Cut, OSError, http.client.HTTPException):
            self._reset()

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("content-length", 0))
        while left:
            block = self.rfile.read1(min(_BLOCK, left))
            if not block:
                raise _Cut
            left -= len(block)
            yield block

    def _forward(self, fault: _Fault | None) -> None:
        connection = self.proxy.connect()
        try:
            self._send_request(connection, fault)
            answer = connection.getresponse()
            if fault is not None and fault.kind == "swallow":
                answer.read()
                fault.meanwhile()
                raise _Cut
            headers = {
                name: self.proxy.point_here(value) if name.lower() == "location" else value
                for name, value in answer.getheaders()
            }
            length = answer.getheader("content-length")
            self._answer(answer.status, headers, _spoil(_read(answer), fault), length)
        finally:
            connection.close()

    def _send_request(self, connection: http.client.HTTPConnection, fault: _Fault | None) -> None:
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                connection.putheader(name, value)
        chunked = "transfer-encoding" in self.headers
        if chunked:
            connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        passed = 0
        for block in self._body():
            if fault is not None and fault.kind == "cut_request" and passed + len(block) > fault.at:
                connection.send(block[: fault.at - passed])
                raise _Cut
            passed += len(block)
            connection.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            connection.send(b"0\r\n\r\n")

    def _answer(
        self,
        status: int,
        headers: Mapping[str, str],
        body: Iterator[bytes],
        length: str | None = None,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        bare = status in (204, 304) or self.command == "HEAD"
        if length is not None:
            self.send_header("Content-Length", length)
        elif not bare:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for block in body:
            self.wfile.write(block if length is not None else b"%x\r\n%b\r\n" % (len(block), block))
        if length is None and not bare:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)  # close with RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for end in (self.wfile, self.rfile, self.connection):
            end.close()
        self.wfile = io.BytesIO()  # which the base class flushes


def _read(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := answer.read1(_BLOCK):
        yield block


def _spoil(body: Iterator[bytes], fault: _Fault | None) -> Iterator[bytes]:
    passed = 0
    for block in body:
        within = fault is not None and passed <= fault.at < passed + len(block)
        if fault is not None and within and fault.kind == "cut_answer":
            yield block[: fault.at - passed]
            raise _Cut
        if fault is not None and within and fault.kind == "flip":
            damaged = bytearray(block)
            damaged[fault.at - passed] ^= 0xFF
            yield bytes(damaged)
        else:
            yield block
        passed += len(block)
