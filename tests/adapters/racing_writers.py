"""A program: many processes create one object at the same moment; prints how each one fared.

python -m tests.adapters.racing_writers file:///path COUNT
"""

from __future__ import annotations

import json
import os
import sys

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.errors import ObjectExists


def main(url: str, count: int) -> None:
    """Fork `count` writers of `raw/a`, let them go together, and report their exit codes."""
    gate, opened = os.pipe()
    writers = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(opened)
            os.read(gate, 1)  # until the parent opens the gate by closing its end
            os._exit(write(url, number))
        writers.append(pid)
    os.close(opened)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in writers]
    print(json.dumps(codes))


def write(url: str, number: int) -> int:
    """0 when this writer won, 1 when the object existed."""
    store = FileObjectStore(url, b"", "")
    try:
        with store.write("raw", "a") as sink:
            for _ in range(10):
                sink.write(b"%02d" % number * 10_000)
    except ObjectExists:
        return 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
