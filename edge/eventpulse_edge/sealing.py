"""From a segment to a batch: numbers stay, times are decided, bytes are final.

What was recorded before the present contract was known is checked against it here, before anybody
else sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eventpulse_edge.batches import COLUMNS, Batch, MemberWriter, make_row
from eventpulse_edge.clock import Reference, Stamp, Timeline, estimate, place
from eventpulse_edge.contract import Contract
from eventpulse_edge.events import Event, Numbered, make_error
from eventpulse_edge.files import Files
from eventpulse_edge.layout import Layout, Raw
from eventpulse_edge.segments import Header, Note, SegmentReader


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch that stands where it belongs, and how many events of it were lost to damage."""

    batch: Batch
    size: int
    lost: int


def check_late(event: Event, contract: Contract) -> Event:
    """A reading that keeps the contract as it is; another as an error, with what is good of it."""
    if event.kind != "reading":
        return event
    own = {name: value for name, value in event.values.items() if name == "alarm"}
    measured = {name: value for name, value in event.values.items() if name != "alarm"}
    checked = contract.check(measured)
    if not checked.problems:
        return event._replace(values={**checked.values, **own})
    kept = {**checked.values, **own}
    detail = "; ".join(checked.problems)
    error = make_error("contract", detail, event.mono, event.sensor, kept=kept)
    return error._replace(alarm=event.alarm)


class Sealer:
    """Seals segments. `references`: what earlier runs knew about the time of each boot."""

    def __init__(self, files: Files, layout: Layout, timeline: Timeline, device: str) -> None:
        self.references: dict[str, Reference] = {}
        self._device = device
        self._files = files
        self._layout = layout
        self._timeline = timeline

    def can_place(self, raw: Raw) -> bool:
        """Whether the time of its events can be said, or a bound for it.

        Without any reference it cannot; then nothing can be sent either.
        """
        return self._reference_of(raw) is not None or self._timeline.boot_time() is not None

    def _reference_of(self, raw: Raw) -> Reference | None:
        boot = raw.header.boot if raw.header is not None else ""
        if boot == self._timeline.clock.boot_id and self._timeline.reference is not None:
            return self._timeline.reference
        return self.references.get(boot)

    def seal(
        self, raw: Raw, place_batch: Callable[[Batch], Path], contract: Contract
    ) -> Sealed | None:
        """Make the batch, then remove the segment; None when there was nothing in it.

        May raise OSError; then the segment is still there.
        """
        stamp = self._make_stamp(raw)
        temporary = self._layout.open / f"{raw.path.name}.tmp"
        self._files.unlink(temporary)
        file = self._files.create(temporary)
        size = 0

        def write(data: bytes) -> None:
            nonlocal size
            file.write(data)
            size += len(data)

        writer = MemberWriter(write)
        columns = (*COLUMNS, *contract.columns)
        alarm = False
        try:
            with self._files.open(raw.path) as stream:
                reader = SegmentReader(stream, raw.epoch, raw.first, raw.last)
                for (seq, recorded), note in reader:
                    header = reader.header or raw.header or self._guess_header(raw)
                    alarm = alarm or recorded.alarm
                    known = note is not None and note.contract == contract.version
                    event = recorded if known else check_late(recorded, contract)
                    when = stamp(event.mono, note)
                    writer.add(make_row(Numbered(seq, event), header, when, columns))
            sha256 = writer.finish()
            file.sync()
        finally:
            file.close()
        if writer.rows == 0:
            self._files.unlink(temporary)
            self._files.unlink(raw.path)
            return None
        header = reader.header or raw.header or self._guess_header(raw)
        batch = Batch(
            number=raw.number,
            epoch=raw.epoch,
            first=raw.first,
            last=reader.reached,
            rows=writer.rows,
            alarm=alarm,
            predecessor=header.predecessor,
            sha256=sha256,
        )
        path = place_batch(batch)
        self._files.make_folder(path.parent)
        self._files.replace(temporary, path)
        self._files.sync_folder(path.parent)
        self._files.unlink(raw.path)
        # Durably gone before the batch can be delivered, or a power cut would bring it back.
        self._files.sync_folder(raw.path.parent)
        return Sealed(batch, size, reader.lost)

    def _guess_header(self, raw: Raw) -> Header:
        """What is left when both copies of the header are damaged."""
        nothing = Note(0.0, 0.0, None)
        return Header(self._device, raw.epoch, raw.first, None, "", "", 0.0, nothing)

    def _make_stamp(self, raw: Raw) -> Callable[[float, Note | None], Stamp]:
        reference = self._reference_of(raw)
        floor = raw.header.floor if raw.header is not None else 0.0
        ceiling = self._timeline.boot_time() or floor

        def stamp(mono: float, note: Note | None) -> Stamp:
            wall = None if note is None else note.wall
            if reference is not None:
                return place(mono, reference, wall)
            return estimate(mono, floor, ceiling, wall)

        return stamp
