"""Looking into a spool from outside, while the agent runs or not: nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventpulse_edge.batches import hash_sha256, parse_name, read_rows
from eventpulse_edge.layout import Layout, parse_mark, parse_raw
from eventpulse_edge.segments import SegmentReader


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of a spool. `damaged`, `torn` in bytes; `lost` are events that cannot be read."""

    path: Path
    folder: str
    size: int
    epoch: str
    first: int
    last: int | None
    events: int
    damaged: int = 0
    torn: int = 0
    lost: int = 0
    sound: bool = True


def inspect_spool(root: Path) -> Iterator[FileReport]:
    """What each file's name says; segments are read, since their names do not say it all."""
    for path, folder in _walk(root):
        try:
            report = _report_segment(path, folder) or _report_batch(path, folder, verify=False)
        except FileNotFoundError:  # delivered just now
            continue
        if report is not None:
            yield report


def verify_spool(root: Path) -> Iterator[FileReport]:
    """As `inspect_spool`, and every byte is checked against its checksum."""
    for path, folder in _walk(root):
        try:
            report = _report_segment(path, folder) or _report_batch(path, folder, verify=True)
        except FileNotFoundError:
            continue
        if report is not None:
            yield report


def find_mark(root: Path) -> str | None:
    """The newest number that was delivered, as `epoch/number`."""
    marks = [parse_mark(path.name) for path in root.glob("mark.*")]
    known = [mark for mark in marks if mark is not None]
    newest = max(known, key=lambda mark: mark.number, default=None)
    return None if newest is None else f"{newest.epoch}/{newest.last}"


def _walk(root: Path) -> Iterator[tuple[Path, str]]:
    for folder in Layout(root).folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield path, folder.name


def _report_segment(path: Path, folder: str) -> FileReport | None:
    raw = parse_raw(path.parent, path.name, path.stat().st_size)
    if raw is None:
        return None
    with path.open("rb") as stream:
        reader = SegmentReader(stream, raw.epoch, raw.first, raw.last)
        events = sum(1 for _ in reader)
    return FileReport(
        path,
        folder,
        raw.size,
        raw.epoch,
        raw.first,
        reader.reached if reader.reached >= raw.first else None,
        events,
        reader.damaged_bytes,
        reader.torn_bytes,
        reader.lost,
        reader.damaged_bytes == 0,
    )


def _report_batch(path: Path, folder: str, *, verify: bool) -> FileReport | None:
    batch = parse_name(path.name)
    if batch is None:
        return None
    size = path.stat().st_size
    sound, lost = True, 0
    if verify:
        content = path.read_bytes()
        sound = hash_sha256(content) == batch.sha256
        lost = 0 if sound else batch.rows - sum(1 for _ in read_rows(content))
    return FileReport(
        path,
        folder,
        size,
        batch.epoch,
        batch.first,
        batch.last,
        batch.rows,
        damaged=0 if sound else size,
        lost=lost,
        sound=sound,
    )
