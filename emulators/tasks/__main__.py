"""Run the Cloud Tasks emulator until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from emulators.credentials import Issuer
from emulators.process import ReadyLine, make_stop_event
from emulators.tasks.dispatcher import Dispatcher
from emulators.tasks.issuer import IssuerServer
from emulators.tasks.queues import Queues
from emulators.tasks.service import CloudTasks, Limits, serve


def read_clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    ready = ReadyLine()
    parser = argparse.ArgumentParser(prog="python -m emulators.tasks")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--issuer-port", type=int, default=0, help="of the OIDC issuer")
    parser.add_argument("--db", default=":memory:", help="SQLite file; in memory by default")
    parser.add_argument("--credentials", type=Path, required=True, help="folder of the keys")
    parser.add_argument(
        "--least-deadline", type=float, default=15, help="least dispatch_deadline, seconds"
    )
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    stop = make_stop_event(arguments.supervised)
    issuer = IssuerServer(Issuer(arguments.credentials), arguments.host, arguments.issuer_port)
    queues = Queues(arguments.db, read_clock)
    dispatcher = Dispatcher(queues, issuer.mint_token, read_clock)
    limits = Limits(arguments.least_deadline)
    service = CloudTasks(queues, dispatcher, read_clock, limits)
    issuer.start()
    dispatcher.start()
    server, port = serve(service, arguments.host, arguments.port)
    ready.announce(address=f"{arguments.host}:{port}", issuer=issuer.url)
    stop.wait()
    server.stop(grace=1).wait()
    dispatcher.stop()
    issuer.stop()
    queues.close()


if __name__ == "__main__":
    main()
