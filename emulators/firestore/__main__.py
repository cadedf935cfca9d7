"""Run the Firestore emulator until it is told to stop."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from emulators.firestore.documents import Documents
from emulators.firestore.indexes import Indexes
from emulators.firestore.service import serve
from emulators.process import ReadyLine, wait_for_stop


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    ready = ReadyLine()
    parser = argparse.ArgumentParser(prog="python -m emulators.firestore")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--db", default=":memory:", help="SQLite file; in memory by default")
    parser.add_argument("--indexes", type=Path, help="firestore.indexes.json")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    documents = Documents(arguments.db)
    server, port = serve(documents, Indexes(arguments.indexes), arguments.host, arguments.port)
    ready.announce(address=f"{arguments.host}:{port}")
    wait_for_stop(arguments.supervised)
    server.stop(grace=1).wait()
    documents.close()


if __name__ == "__main__":
    main()
