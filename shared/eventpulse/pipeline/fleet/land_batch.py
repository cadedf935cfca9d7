"""Land: a device's batch is checked, its numbers are noted, and it waits for its bundle.

What cannot go with others gets an ingestion of its own at once: from a revoked device, unreadable
(its ingestion says why), or with rows that name another device. So nothing that one device sends
can harm another's readings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from eventpulse.contracts.contract import Bundling
from eventpulse.fleet.alerts import AlertRules, Finding, judge_readings
from eventpulse.fleet.batches import (
    MOST_BYTES,
    Batch,
    BatchName,
    Epoch,
    epoch_stream,
    parse_batch_name,
    query_missing,
)
from eventpulse.fleet.contents import BatchContents, read_contents
from eventpulse.fleet.contract import find_rules
from eventpulse.fleet.devices import Device
from eventpulse.fleet.seq_ranges import Ranges
from eventpulse.ingestions.ingestion import SourceObject
from eventpulse.pipeline.catalogue import CATALOGUE, read_catalogue
from eventpulse.pipeline.fleet.state import apply_findings, presence_in
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.tasks import enqueue_bundle, wake, wake_changed
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent, ObjectRef, StoredObject
from eventpulse.values import format_time

MOST_EPOCHS_GAPPED = 50
"""Epochs whose gaps one batch may tell of, beyond which they are counted as missing."""


def find_batches(platform: Platform, names: Iterable[BatchName]) -> dict[BatchName, Batch]:
    """The claims of these very contents, as far as somebody made them."""
    asked = list(dict.fromkeys(names))
    heads = platform.log.heads([each.stream for each in asked]) if asked else []
    claims = {
        name: Batch.model_validate(head.projection)
        for name, head in zip(asked, heads, strict=True)
        if head.version
    }
    return {name: batch for name, batch in claims.items() if batch.name == name}


def find_batch(platform: Platform, name: BatchName) -> Batch | None:
    """The claim of this very content; None when nobody made it."""
    return find_batches(platform, [name]).get(name)


def leave_out_landed(platform: Platform, found: Sequence[StoredObject]) -> list[StoredObject]:
    """Objects without the claimed batches that the log knows to have landed."""
    names = [parse_batch_name(each.ref.name) for each in found]
    batches = find_batches(platform, (each for each in names if each is not None))
    return [
        stored
        for stored, name in zip(found, names, strict=True)
        if name is None or not _is_landed(batches.get(name), stored)
    ]


def _is_landed(batch: Batch | None, stored: StoredObject) -> bool:
    return batch is not None and batch.has_landed and batch.generation == stored.ref.generation


def land_batch(
    platform: Platform, batch: Batch, ingestion_id: str, source: ObjectRef, created: datetime
) -> None:
    """Note that a claimed batch is there. Raises ObjectMissing.

    `ingestion_id` is that of its ingestion if it gets one of its own.
    """
    if batch.has_landed:
        _wake(platform, batch)
        return
    data, size = _read(platform, source)
    while True:
        changes = Changes(platform)
        landing = _Landing(platform, changes, batch.name, source, size, format_time(created))
        if not landing.decide(data, ingestion_id):
            _wake(platform, landing.batch)
            return
        if changes.commit():
            break
    wake_changed(platform, changes)
    _wake(platform, landing.batch)


def _read(platform: Platform, ref: ObjectRef) -> tuple[bytes, int]:
    """The whole object, or the beginning of one that is too large for a batch; and its length."""
    with platform.objects.open(ref) as stream:
        data = stream.read(MOST_BYTES + 1)
        size = len(data)
        while size > MOST_BYTES and (block := stream.read(1 << 20)):
            size += len(block)
    return data, size


def batch_reason(batch: Batch) -> str:
    """Names the request for a bundle at once: a batch may return, and lands then again."""
    return f"{batch.stream.partition('/')[2].replace('.', '-')}-{batch.updated_at}"


def _wake(platform: Platform, batch: Batch) -> None:
    if batch.state == "landed":
        window = read_bundling(read_catalogue(platform.log.head(CATALOGUE)).entries, batch.dataset)
        seconds = 0 if batch.alarm else window.window_seconds
        enqueue_bundle(platform, batch.dataset, seconds, batch_reason(batch))
    elif batch.state == "diverted" and batch.ingestion is not None:
        wake(platform, [batch.ingestion])


def read_bundling(entries: Mapping[str, Mapping[str, Json]], dataset: str) -> Bundling:
    """A dataset's bundling as the catalogue has it; without one each batch is a bundle."""
    fleet = entries.get(dataset, {}).get("fleet")
    if not isinstance(fleet, dict):
        return Bundling(0, 1, MOST_BYTES)
    found = fleet["bundling"]
    assert isinstance(found, dict)
    return Bundling(found["seconds"], found["objects"], found["bytes"])  # type: ignore[arg-type]


@dataclass
class _Landing:
    """One try to note a batch that landed, on streams as they were read."""

    platform: Platform
    changes: Changes
    name: BatchName
    source: ObjectRef
    size: int
    created: str

    @property
    def batch(self) -> Batch:
        return Batch.model_validate(self.changes.projection(self.name.stream))

    def decide(self, data: bytes, ingestion_id: str) -> bool:
        """False when the batch has landed meanwhile."""
        device_stream = f"device/{self.name.device}"
        own = epoch_stream(self.name.device, self.name.epoch)
        presence = f"presence/{self.name.device}"
        self.changes.fetch(self.name.stream, own, device_stream, presence, CATALOGUE)
        batch = self.batch
        if batch.has_landed:
            return False
        entries = read_catalogue(self.changes.head(CATALOGUE)).entries
        rules = find_rules(entries.get(batch.dataset, {}))
        contents = self._check(batch, data, rules.sensors)
        device = Device.model_validate(self.changes.projection(device_stream))
        landed: dict[str, Json] = {
            "generation": self.source.generation,
            "created": self.created,
            "rows": contents.rows,
        }
        refusal = self._refusal(device, contents)
        if refusal is not None or contents.foreign:
            self._divert(entries.get(batch.dataset, {}), ingestion_id, refusal)
            reason = refusal[1] if refusal else f"{contents.foreign} lines are not this device's."
            landed |= {"problem": reason, "ingestion": ingestion_id}
            self.changes.add(batch.stream, NewEvent("diverted", landed))
        else:
            self.changes.add(batch.stream, NewEvent("landed", landed))
        if refusal is None:
            self._note_numbers(contents)
            self._note_alerts(contents, rules)
        return True

    def _check(self, batch: Batch, data: bytes, sensors: Mapping[str, object]) -> BatchContents:
        if self.size > MOST_BYTES:
            return BatchContents(problem=f"it has {self.size:,} bytes, more than a batch may have")
        if hashlib.sha256(data).hexdigest() != batch.sha256:
            return BatchContents(problem="its bytes are not those that its name and claim say")
        return read_contents(data, batch.device, batch.epoch, sensors)

    def _refusal(self, device: Device, contents: BatchContents) -> tuple[str, str] | None:
        if device.is_revoked_at(self.created):
            detail = (
                f"The device {device.id} was revoked at {device.revoked_at} "
                f"({device.revoked_reason}), and this came after that. Replay it if it counts."
            )
            return "revoked", detail
        if contents.problem is not None:
            detail = f"{self.name.object_name}: {contents.problem}. Its events are missing."
            return "unreadable", detail
        return None

    def _divert(
        self, entry: Mapping[str, Json], ingestion_id: str, refusal: tuple[str, str] | None
    ) -> None:
        batch = self.batch
        bucket = self.platform.objects.bucket_name("raw")
        source = source_of(batch, bucket, self.source.generation, self.created)
        received = received_data(batch.dataset, entry, [source])
        if refusal is not None:
            received |= {"refusal": refusal[0], "detail": refusal[1]}
        self.changes.add(f"ingestion/{ingestion_id}", NewEvent("received", received))

    def _note_numbers(self, contents: BatchContents) -> None:
        device = self.name.device
        gaps = sorted(contents.gaps.items())[:MOST_EPOCHS_GAPPED]
        self.changes.fetch(*(epoch_stream(device, each) for each, _ in gaps))
        if contents.landed:
            self._note_ranges(self.name.epoch, "landed", contents.landed)
        for epoch, given_up in gaps:
            self._note_ranges(epoch, "dropped", given_up)

    def _note_ranges(self, epoch: str, kind: Literal["landed", "dropped"], found: Ranges) -> None:
        stream = epoch_stream(self.name.device, epoch)
        known = self.changes.projection(stream)
        ranges: list[Json] = [list(each) for each in found]
        if not known or Epoch.model_validate(known).can_tell(kind, found):
            self.changes.add(stream, NewEvent(kind, {"ranges": ranges}))
        else:
            self.changes.add(stream, NewEvent("announced", {"last": found[-1][1]}))

    def _note_alerts(self, contents: BatchContents, rules: AlertRules) -> None:
        """Thresholds are held against batches newer than all before; old ones change no alert."""
        presence = presence_in(self.changes, self.name.device)
        until = min(contents.read_until, self.created)  # a clock may be years ahead
        is_newer = until > presence.read_until
        findings = judge_readings(rules, contents.extremes) if is_newer else []
        if "missing_range" in presence.alerts and self._is_complete():
            findings.append(Finding("missing_range"))
        apply_findings(self.changes, self.name.device, findings)
        after = presence_in(self.changes, self.name.device)
        if findings and (after != presence or self.changes.head(presence.stream).version):
            moved = after.model_copy(update={"read_until": max(presence.read_until, until)})
            self.changes.replace(presence.stream, moved.model_dump(mode="json"))

    def _is_complete(self) -> bool:
        """Whether no epoch of the device misses anything, this landing counted."""
        device = self.name.device
        page = self.platform.log.query(query_missing(device), limit=2)
        others = [h for h in page.heads if h.stream != epoch_stream(device, self.name.epoch)]
        own = self.changes.projection(epoch_stream(device, self.name.epoch))
        return not others and not (own and Epoch.model_validate(own).has_missing)


def source_of(batch: Batch, bucket: str, generation: int, created: str) -> SourceObject:
    return SourceObject(
        bucket=bucket,
        name=batch.name.object_name,
        generation=generation,
        size=batch.bytes,
        created=created,
        content_type=batch.content_type,
        sha256=batch.sha256,
    )


def received_data(
    dataset: str, entry: Mapping[str, Json], sources: list[SourceObject]
) -> dict[str, Json]:
    """What an ingestion of batches begins with, under the contract that is current now."""
    received: dict[str, Json] = {"objects": [each.model_dump(mode="json") for each in sources]}
    if entry:
        received["dataset"] = dataset
        received["contract_version"] = entry["version"]
        received["contract_sha256"] = entry["sha256"]
    return received
