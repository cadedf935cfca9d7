"""The file that validation is measured on, made once per run: seeded, any number of rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emulators.samples.generate import generate_edge_telemetry, write_file
from eventpulse.adapters.objects_file import FileObjectStore

BAD_SHARE = 0.002
REPEATED_SHARE = 0.0005
"""Of rows that stand in the file a second time, in the place of others."""
_REPEATED_AFTER = 50
BYTES_PER_ROW = 113.5


@dataclass(frozen=True)
class Telemetry:
    """`source` is the plain file; `objects` a file store that has it as its one raw object."""

    rows: int
    source: Path
    objects: Path


def make_telemetry(folder: Path, rows: int, bad_share: float = BAD_SHARE) -> Telemetry:
    kind = f"{rows}" if bad_share else f"{rows}-good"
    source, objects = folder / f"telemetry-{kind}.csv", folder / f"objects-{kind}"
    if not source.exists():
        with source.open("wb") as out:
            chunks = generate_edge_telemetry(rows, seed=1, bad_share=bad_share)
            write_file(_repeat_rows(chunks) if bad_share else chunks, out)
        store = FileObjectStore(f"file://{objects}", sign_key=b"bench", upload_url="")
        with source.open("rb") as file, store.write("raw", "edge_telemetry/bench.csv") as sink:
            while block := file.read(1 << 20):
                sink.write(block)
    return Telemetry(rows, source, objects)


def _repeat_rows(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Rows of long before come again, most of them in another batch."""
    seen: deque[bytes] = deque()
    due = 0.0
    for chunk in chunks:
        rows = chunk.splitlines(keepends=True)
        due += REPEATED_SHARE * len(rows)
        if due >= 1:
            due -= 1
            seen.append(rows[0])
            if len(seen) > _REPEATED_AFTER:
                rows[-1] = seen.popleft()
        yield b"".join(rows)
