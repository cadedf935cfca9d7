"""What stands in a spool's segment file, and reading it back whatever happened to it. Pure.

A segment is framed records (records.py): first its header, twice, so that one damaged byte cannot
take it, then events in the order of their numbers, and notes of the clock and the contract where
they changed.

    header   {"format": 1, "device", "epoch", "first", "predecessor", "boot", "firmware",
              "floor", "mono", "wall", "reference", "contract"}
    note     {"mono", "wall", "reference", "contract"}
    event    [seq, mono, kind, sensor, values, alarm]

`wall` is what the wall clock showed less the monotonic one; `reference` is [mono, utc, bound] or
null; `floor` is a time before which this boot cannot have begun; `contract` is the version that the
events which follow were checked against, null for none or several.

Numbers have no holes: where records are damaged, the numbers between their neighbours become a gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from eventpulse_edge.clock import Reference
from eventpulse_edge.encoding import encode_json
from eventpulse_edge.events import Event, Kind, Numbered, last_covered, make_gap
from eventpulse_edge.records import Damage, frame, scan

FORMAT = 1
_NUMBER = (int, float)
_decode = json.JSONDecoder().raw_decode
_KINDS: dict[Kind, str] = {"reading": "r", "gap": "g", "error": "e"}
_KIND_OF: dict[str, Kind] = {letter: kind for kind, letter in _KINDS.items()}


class Predecessor(NamedTuple):
    """The epoch before, and the last number that the spool knows of it."""

    epoch: str
    last: int


@dataclass(frozen=True, slots=True)
class Note:
    """The clock from `mono` on, and the contract that the events from there on were checked
    against."""

    mono: float
    wall: float
    reference: Reference | None
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What all events of a segment have in common."""

    device: str
    epoch: str
    first: int
    predecessor: Predecessor | None
    boot: str
    firmware: str
    floor: float
    note: Note


def encode_header(header: Header) -> bytes:
    """The header's record, twice."""
    document = {
        "format": FORMAT,
        "device": header.device,
        "epoch": header.epoch,
        "first": header.first,
        "predecessor": header.predecessor,
        "boot": header.boot,
        "firmware": header.firmware,
        "floor": header.floor,
        **_note_document(header.note),
    }
    return frame(encode_json(document), "note") * 2


def encode_note(note: Note) -> bytes:
    return frame(encode_json(_note_document(note)), "note")


def encode_event(seq: int, event: Event) -> bytes:
    """The payload of the event's record.

    Raises ValueError for values that are no JSON: infinite, or half of a surrogate pair.
    """
    kind, mono, values, sensor, alarm, _ = event
    document = (seq, round(mono, 6), _KINDS[kind], sensor, values)
    return encode_json((*document, True) if alarm else document)


def _note_document(note: Note) -> dict[str, object]:
    return {
        "mono": note.mono,
        "wall": note.wall,
        "reference": note.reference,
        "contract": note.contract,
    }


@dataclass(slots=True)
class SegmentReader:
    """Reads a segment: `header` after the first event, `damage` after the last.

    `first` and `last` are what the numbers run from and to, by the segment's name and what follows
    it; with `last` None, they end where the records do.
    """

    stream: BinaryIO
    epoch: str
    first: int
    last: int | None = None
    header: Header | None = None
    note: Note | None = None
    reference: Reference | None = None
    damaged_bytes: int = 0
    torn_bytes: int = 0
    lost: int = 0
    reached: int = field(default=0, init=False)
    """The last number that was read or given up."""
    _mono: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[tuple[Numbered, Note | None]]:
        """The events, each with the clock as it was known then."""
        self.reached = self.first - 1
        unread = 0
        for item in scan(self.stream):
            if isinstance(item, Damage):
                unread += item.events
                self.damaged_bytes += 0 if item.torn else item.size
                self.torn_bytes += item.size if item.torn else 0
                continue
            numbered = self._decode(item)
            if numbered is None:
                unread += item.startswith(b"[")
                continue
            seq, event = numbered
            if self.last is not None and seq > self.last:
                break
            if seq <= self.reached:
                unread = 0
                continue
            self._mono = event.mono
            if seq > self.reached + 1:
                yield self._give_up(seq - 1), self.note
            self.reached = seq if event.kind == "reading" else last_covered(numbered)
            unread = 0
            yield numbered, self.note
        end = self.reached + unread if self.last is None else self.last
        if end > self.reached:
            yield self._give_up(end), self.note

    def _decode(self, payload: bytes) -> Numbered | None:
        """An event; None for a note, which is taken in, and for what this version cannot read."""
        try:
            text = payload.decode()
            document, end = _decode(text)
            if end != len(text):
                raise ValueError(f"{text!r} is no document alone")
            if not isinstance(document, dict):
                return _decode_event(document)
            self._take_note(document)
        except (ValueError, TypeError, KeyError, IndexError):
            self.damaged_bytes += len(payload)
        return None

    def _take_note(self, document: Mapping[str, object]) -> None:
        self.note = _decode_note(document)
        self._mono = max(self._mono, self.note.mono)
        self.reference = self.note.reference or self.reference
        if "format" in document and self.header is None:
            self.header = _decode_header(document, self.note)

    def _give_up(self, last: int) -> Numbered:
        first = self.reached + 1
        self.lost += last - first + 1
        self.reached = last
        return Numbered(first, make_gap(self.epoch, first, last, "corrupt", self._mono))


def _decode_header(document: Mapping[str, object], note: Note) -> Header:
    predecessor = document["predecessor"]
    return Header(
        device=_text(document["device"]),
        epoch=_text(document["epoch"]),
        first=_whole(document["first"]),
        predecessor=None
        if not isinstance(predecessor, list)
        else Predecessor(_text(predecessor[0]), _whole(predecessor[1])),
        boot=_text(document["boot"]),
        firmware=_text(document["firmware"]),
        floor=_real(document["floor"]),
        note=note,
    )


def _decode_note(document: Mapping[str, object]) -> Note:
    reference = document["reference"]
    return Note(
        mono=_real(document["mono"]),
        wall=_real(document["wall"]),
        reference=None
        if not isinstance(reference, list)
        else Reference(*(_real(each) for each in reference)),
        contract=None if document.get("contract") is None else _text(document["contract"]),
    )


def _decode_event(document: list[object]) -> Numbered:
    seq, mono, kind, sensor, values, *alarm = document
    if not (
        isinstance(seq, int)
        and isinstance(mono, _NUMBER)
        and isinstance(kind, str)
        and isinstance(values, dict)
        and (sensor is None or isinstance(sensor, str))
    ):
        raise TypeError(f"{document!r} is no event")
    return Numbered(seq, Event(_KIND_OF[kind], mono, values, sensor, bool(alarm)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _real(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
