"""Run the Cloud Storage emulator until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from emulators.process import ReadyLine, make_stop_event
from emulators.storage.catalogue import Catalogue
from emulators.storage.events import Backoff
from emulators.storage.server import StorageApp
from emulators.storage.signatures import Signers


class _Server(uvicorn.Server):
    """Says when it accepts requests, and leaves the signals to the process."""

    ready_line: ReadyLine

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        host, port = sockets[0].getsockname()[:2]
        self.ready_line.announce(url=f"http://{host}:{port}")


async def _serve(
    app: StorageApp, listener: socket.socket, stop: threading.Event, ready: ReadyLine
) -> None:
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    server = _Server(config)
    server.ready_line = ready

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    async with app.deliver():
        await server.serve([listener])


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    ready = ReadyLine()
    parser = argparse.ArgumentParser(prog="python -m emulators.storage")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--root", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--signers", type=Path, help="JSON: service account -> public key (PEM)")
    parser.add_argument("--min-backoff", type=float, default=0.2, help="of events, seconds")
    parser.add_argument("--max-backoff", type=float, default=30.0, help="of events, seconds")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    stop = make_stop_event(arguments.supervised)
    signers = Signers(json.loads(arguments.signers.read_text()) if arguments.signers else {})
    catalogue = Catalogue(arguments.root)
    backoff = Backoff(arguments.min_backoff, arguments.max_backoff)
    listener = socket.create_server((arguments.host, arguments.port), backlog=256)
    # Inherited by every connection; asyncio sets it only on sockets that name their protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asyncio.run(_serve(StorageApp(catalogue, signers, backoff), listener, stop, ready))
    catalogue.close()


if __name__ == "__main__":
    main()
