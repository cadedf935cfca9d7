"""Start bqemulator with the corrections; runs in the environment that has bqemulator."""

from __future__ import annotations

import argparse
from pathlib import Path

from emulators.process import ReadyLine


def main() -> None:
    """Correct, then serve."""
    ready = ReadyLine()
    parser = argparse.ArgumentParser(prog="python -m emulators.bigquery")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="REST; 0 picks a free one")
    parser.add_argument("--grpc-port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--data", type=Path, help="folder; in memory by default")
    parser.add_argument("--gcs-root", type=Path, help="directory that gs:// is read from")
    parser.add_argument("--supervised", action="store_true", help="stop when stdin ends")
    arguments = parser.parse_args()
    # Imported late: bqemulator prints as it is imported, and that must not be the ready line.
    from emulators.bigquery.server import run

    run(arguments, ready)


if __name__ == "__main__":
    main()
