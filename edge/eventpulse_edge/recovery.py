"""Finding one's way in a spool after whatever ended the agent before.

Each change to the files is atomic, so what can be found half done is little, and each case has one
answer:

- a temporary file: it was never finished; remove it.
- a segment and the batch made of it: the batch counts; remove the segment.
- a gap, and files with numbers inside it: they were being dropped; remove them.
- a batch that was being split, and parts of it: whole, the parts count; else the batch does.
- a batch that was being mended, and the mended one: the mended one counts.
- a segment whose last write was torn: what is whole in it counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eventpulse_edge.batches import Batch, hash_sha256
from eventpulse_edge.clock import Reference
from eventpulse_edge.files import Files
from eventpulse_edge.holdings import Holdings
from eventpulse_edge.layout import Layout, Mark, Raw, parse_mark, parse_raw
from eventpulse_edge.segments import Predecessor, SegmentReader

_log = logging.getLogger("eventpulse.edge.spool")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found. `number` is the greatest that a file has."""

    raws: list[Raw]
    gaps: list[Raw]
    mark: Mark | None
    number: int
    predecessor: Predecessor | None
    references: dict[str, Reference]
    torn_bytes: int
    damaged_bytes: int


def recover(files: Files, layout: Layout, holdings: Holdings) -> Recovered:
    """Make a spool's folders fit to be used, and say what is in them. May raise OSError."""
    for folder in layout.folders:
        files.make_folder(folder)
    _remove_unfinished(files, layout)
    raws = _list_raws(files, layout.open)
    gaps = _list_raws(files, layout.gaps)
    marks = [m for e in files.list(layout.root) if (m := parse_mark(e.name)) is not None]
    mark = max(marks, key=lambda each: (each.number, each.last), default=None)
    gaps = _settle_gaps(files, gaps)
    raws = _settle_raws(files, holdings, raws, gaps)
    _settle_batches(files, layout, holdings, gaps)
    return _take_stock(files, holdings, raws, gaps, mark)


def _remove_unfinished(files: Files, layout: Layout) -> None:
    for folder in layout.folders:
        for entry in list(files.list(folder)):
            if entry.name.endswith(".tmp"):
                files.unlink(folder / entry.name)


def _list_raws(files: Files, folder: Path) -> list[Raw]:
    found = (parse_raw(folder, entry.name, entry.size) for entry in files.list(folder))
    return sorted(
        (raw for raw in found if raw is not None), key=lambda raw: (raw.number, raw.first)
    )


def _settle_gaps(files: Files, gaps: list[Raw]) -> list[Raw]:
    """Without those that a wider one has taken in."""
    kept = [gap for gap in gaps if not any(_inside(gap, each) for each in gaps if each is not gap)]
    for gap in gaps:
        if gap not in kept:
            files.unlink(gap.path)
    return kept


def _inside(inner: Raw, outer: Raw) -> bool:
    assert inner.last is not None
    assert outer.last is not None
    return (
        inner.epoch == outer.epoch
        and outer.first <= inner.first
        and inner.last <= outer.last
        and (inner.first, inner.last) != (outer.first, outer.last)
    )


def _settle_raws(
    files: Files, holdings: Holdings, raws: list[Raw], gaps: Iterable[Raw]
) -> list[Raw]:
    """Without those that were sealed or dropped, each with its last number if another tells it."""
    ours = {(raw.epoch, raw.first) for raw in raws}
    sealed = {
        (batch.epoch, batch.first)
        for _, batch, _ in holdings.scan()
        if (batch.epoch, batch.first) in ours
    }
    gone = sealed | {(gap.epoch, gap.first) for gap in gaps}
    for raw in raws:
        if (raw.epoch, raw.first) in gone or any(
            gap.epoch == raw.epoch and gap.first <= raw.first <= (gap.last or 0) for gap in gaps
        ):
            files.unlink(raw.path)
            gone.add((raw.epoch, raw.first))
    kept = [raw for raw in raws if (raw.epoch, raw.first) not in gone]
    starts = [(raw.epoch, raw.first) for raw in kept]
    for raw in kept:
        if raw.last is not None:
            continue
        later = [first for epoch, first in starts if epoch == raw.epoch and first > raw.first]
        raw.last = min(later) - 1 if later else None
    return kept


def _settle_batches(files: Files, layout: Layout, holdings: Holdings, gaps: Iterable[Raw]) -> None:
    ranges: dict[str, list[tuple[int, int]]] = {}
    for gap in gaps:
        ranges.setdefault(gap.epoch, []).append((gap.first, gap.last or 0))
    for path, batch, _ in holdings.scan() if ranges else ():
        if any(a <= batch.first and batch.last <= b for a, b in ranges.get(batch.epoch, ())):
            files.unlink(path)
    sending = {batch for path, batch, _ in holdings.scan() if path.parent == layout.sending}
    for batch in sorted(sending, key=lambda each: each.name):
        twins = [each for each in sending if each.range == batch.range]
        if len(twins) > 1 and hash_sha256(holdings.read(batch)) != batch.sha256:
            files.unlink(layout.sending / batch.name)  # it was mended
            sending.remove(batch)
    for whole in sending:
        parts = [each for each in sending if whole.holds(each)]
        if not parts:
            continue
        covered = sum(each.last - each.first + 1 for each in parts)
        complete = covered == whole.last - whole.first + 1
        for each in [whole] if complete else parts:
            files.unlink(layout.sending / each.name)


def _take_stock(
    files: Files, holdings: Holdings, raws: list[Raw], gaps: list[Raw], mark: Mark | None
) -> Recovered:
    holdings.count()
    references: dict[str, Reference] = {}
    torn = damaged = 0
    for raw in (*raws, *gaps):
        reader = _read_head(files, raw)
        raw.header = reader.header
        if reader.header is not None and reader.reference is not None:
            references[reader.header.boot] = reader.reference
    for raw in raws:
        if raw.last is not None:
            continue
        with files.open(raw.path) as stream:
            reader = SegmentReader(stream, raw.epoch, raw.first)
            for numbered, _ in reader:
                raw.alarm = raw.alarm or numbered.event.alarm
        raw.last = reader.reached
        torn += reader.torn_bytes
        damaged += reader.damaged_bytes
        if reader.header is not None and reader.reference is not None:
            references[reader.header.boot] = reader.reference
    raws = _without_empty(files, raws)
    ends = [(raw.number, raw.epoch, raw.last or 0) for raw in (*raws, *gaps)]
    ends += [(batch.number, batch.epoch, batch.last) for batch in _newest(holdings)]
    if mark is not None:
        ends.append((mark.number, mark.epoch, mark.last))
    number = max((each[0] for each in ends), default=0)
    newest = next((epoch for each, epoch, _ in ends if each == number), None)
    predecessor = None
    if newest is not None:
        last = max(last for _, epoch, last in ends if epoch == newest)
        predecessor = Predecessor(newest, last)
    return Recovered(raws, gaps, mark, number, predecessor, references, torn, damaged)


def _newest(holdings: Holdings) -> list[Batch]:
    """The batches with the greatest number."""
    newest: list[Batch] = []
    for _, batch, _ in holdings.scan():
        if not newest or batch.number > newest[0].number:
            newest = [batch]
        elif batch.number == newest[0].number:
            newest.append(batch)
    return newest


def _read_head(files: Files, raw: Raw) -> SegmentReader:
    """Read until the header is there."""
    with files.open(raw.path) as stream:
        reader = SegmentReader(stream, raw.epoch, raw.first, raw.last)
        for _ in reader:
            break
    return reader


def _without_empty(files: Files, raws: list[Raw]) -> list[Raw]:
    """A segment that no event reached was begun and no more."""
    for raw in raws:
        if raw.last is not None and raw.last < raw.first:
            files.unlink(raw.path)
    return [raw for raw in raws if raw.last is not None and raw.last >= raw.first]
