"""Proxies that lose answers and make faults, in front of real servers.

`GrpcProxy` passes every call of a gRPC service through as bytes and fails those that a test
chooses, before or after the server has seen them. `PostgresProxy` passes a connection through and
cuts it at a chosen statement, before the server sees it or after the server has answered it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

When = Literal["before", "after"]


def do_nothing() -> None:
    """The default of what happens between the server's answer and its loss."""


@dataclass
class _Fault:
    method: str
    code: str
    times: int
    when: When
    retry_delay: float | None
    meanwhile: Callable[[], None]


class GrpcProxy:
    """A gRPC server that forwards to `target` (`host:port`); `calls` are the methods it saw."""

    def __init__(self, target: str) -> None:
        self.calls: list[str] = []
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._channel = grpc.insecure_channel(target)
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((_Handler(self._forward),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def fail(
        self,
        method: str,
        code: str,
        *,
        times: int = 1,
        when: When = "before",
        retry_delay: float | None = None,
        meanwhile: Callable[[], None] = do_nothing,
    ) -> None:
        """Answer the next `times` calls of `method` with `code` (`UNAVAILABLE` …).

        `before`: the server never sees it. `after`: it does the work, and the answer is lost.
        `meanwhile` runs before the client hears of the failure.
        """
        with self._lock:
            self._faults.append(_Fault(method, code, times, when, retry_delay, meanwhile))

    def close(self) -> None:
        """Stop serving."""
        self._server.stop(None).wait()
        self._channel.close()

    def _take(self, method: str) -> _Fault | None:
        with self._lock:
            self.calls.append(method)
            for fault in self._faults:
                if fault.method == method and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _forward(self, path: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        fault = self._take(path.rpartition("/")[2])
        if fault is not None and fault.when == "before":
            fault.meanwhile()
            _abort(context, fault)
        metadata = [(k, v) for k, v in context.invocation_metadata() if k != "user-agent"]
        call = self._channel.stream_stream(path)(requests, metadata=metadata)
        try:
            if fault is None:
                yield from call
                return
            for _ in call:
                pass
        except grpc.RpcError:
            context.abort(call.code(), call.details())
        if fault is not None:
            fault.meanwhile()
            _abort(context, fault)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, forward: Callable[[str, Iterator[bytes], Any], Iterator[bytes]]) -> None:
        self._forward = forward

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._forward(path, requests, context)
        )


def _abort(context: Any, fault: _Fault) -> None:
    status = Status(code=Code.Value(fault.code), message="a fault made by the test")
    if fault.retry_delay is not None:
        delay = Duration()
        delay.FromMilliseconds(round(fault.retry_delay * 1000))
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=delay))
        status.details.append(detail)
    context.abort_with_status(rpc_status.to_status(status))


@dataclass
class _Cut:
    statement: bytes
    when: When
    meanwhile: Callable[[], None]


class PostgresProxy:
    """A TCP port in front of a Postgres Unix socket."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._cuts: list[_Cut] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """The `postgresql://` URL of a database behind the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def cut(
        self, statement: str, when: When, *, meanwhile: Callable[[], None] = do_nothing
    ) -> None:
        """Close the next connection that sends `statement`.

        `before`: the server never sees it. `after`: the server has answered, the client not heard.
        `meanwhile` runs before the client hears of the failure.
        """
        with self._lock:
            self._cuts.append(_Cut(statement.encode(), when, meanwhile))

    @property
    def pending(self) -> int:
        """How many cuts were ordered and not made yet."""
        with self._lock:
            return len(self._cuts)

    def close(self) -> None:
        """Stop accepting connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._target))
                _Passage(self, client, server).start()

    def take_cut(self, data: bytes) -> _Cut | None:
        """The cut that this message asks for; it is made once."""
        with self._lock:
            for cut in self._cuts:
                if cut.statement in data:
                    self._cuts.remove(cut)
                    return cut
        return None


class _Passage:
    """One connection; `after` a cut, the server's next answer is the last thing that happens."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._cut: _Cut | None = None
        self._cutting = False  # the requests' pump closes both ends, when it is done

    def start(self) -> None:
        for pump in (self._pump_requests, self._pump_answers):
            threading.Thread(target=pump, daemon=True).start()

    def _pump_requests(self) -> None:
        with contextlib.suppress(OSError):  # the other pump closed both
            while data := self._client.recv(65536):
                cut = self._proxy.take_cut(data)
                if cut is not None and cut.when == "before":
                    self._cutting = True
                    _close(self._server)  # the server rolls back
                    cut.meanwhile()
                    break
                self._cut = cut
                self._server.sendall(data)
        if self._cut is None:
            self._close()

    def _pump_answers(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if self._cut is not None:
                    self._cut.meanwhile()
                    break
                self._client.sendall(data)
        if not self._cutting:
            self._close()

    def _close(self) -> None:
        _close(self._client)
        _close(self._server)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed before, by the other pump
        end.shutdown(socket.SHUT_RDWR)
    end.close()
