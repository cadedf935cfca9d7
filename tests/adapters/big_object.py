"""A program: streams a big object into a store and out again; prints its peak memory in MiB.

python -m tests.adapters.big_object URL MIB
"""

from __future__ import annotations

import hashlib
import random
import re
import resource
import sys
from base64 import b64encode
from pathlib import Path

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.objects_gcs import GcsObjectStore
from eventpulse.ports import ObjectStore

_MIB = 1 << 20


def main(url: str, mebibytes: int) -> None:
    """Write, read back and compare."""
    store: ObjectStore = (
        GcsObjectStore(url) if url.startswith("gs:") else FileObjectStore(url, b"", "")
    )
    block = random.Random(4).randbytes(_MIB)
    written = hashlib.md5(usedforsecurity=False)
    with store.write("staged", "big.bin") as sink:
        for number in range(mebibytes):
            block = number.to_bytes(8, "big") + block[8:]
            written.update(block)
            sink.write(block)
    read = hashlib.md5(usedforsecurity=False)
    with store.open(sink.stored.ref) as file:
        while part := file.read(_MIB):
            read.update(part)
    assert sink.stored.size == mebibytes * _MIB
    assert sink.stored.md5 == b64encode(written.digest()).decode()
    assert read.digest() == written.digest()
    print(peak_mebibytes())


def peak_mebibytes() -> int:
    """The most memory that this program held; getrusage would count its parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = re.findall(r"VmHWM:\s+([0-9]+) kB", status.read_text())
        return int(peak) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MIB


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
