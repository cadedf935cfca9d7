"""A cloud that only keeps books: what arrived, and whether every number is accounted for once."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from eventpulse_edge.batches import Batch
from eventpulse_edge.spool import Spool


@dataclass
class Cloud:
    """Objects by the name that the protocol gives them; one content per (epoch, first)."""

    objects: dict[str, bytes] = field(default_factory=dict)
    claims: dict[tuple[str, int], str] = field(default_factory=dict)
    predecessors: dict[str, object] = field(default_factory=dict)
    order: list[Batch] = field(default_factory=list)

    def receive(self, batch: Batch, content: bytes) -> None:
        claimed = self.claims.setdefault((batch.epoch, batch.first), batch.sha256)
        assert claimed == batch.sha256, "one range, two contents"
        known = self.predecessors.setdefault(batch.epoch, batch.predecessor)
        assert known == batch.predecessor, "one epoch, two predecessors"
        name = f"{batch.epoch}/{batch.first}-{batch.last}-{batch.sha256}"
        if name not in self.objects:
            self.objects[name] = content
            self.order.append(batch)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for content in self.objects.values()
            for line in gzip.decompress(content).splitlines()
        ]

    def readings(self) -> dict[str, dict[str, Any]]:
        return {row["event_id"]: row for row in self.rows if row["kind"] != "gap"}

    def gaps(self) -> list[tuple[str, int, int, str]]:
        return [
            (row["gap_epoch"], row["gap_first"], row["gap_last"], row["reason"])
            for row in self.rows
            if row["kind"] == "gap"
        ]

    def check(self) -> dict[str, int]:
        """Each number of each epoch is an event or in a gap, exactly once; the last of each."""
        taken: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in self.rows:
            if row["kind"] == "gap":
                assert row["gap_first"] == row["seq"]
                taken[row["gap_epoch"]].append((row["gap_first"], row["gap_last"]))
            else:
                taken[row["epoch"]].append((row["seq"], row["seq"]))
        lasts: dict[str, int] = {}
        for epoch, ranges in taken.items():
            ranges.sort()
            expected = 1
            for first, last in ranges:
                assert first == expected, f"{epoch}: {expected} expected, {first} found"
                expected = last + 1
            lasts[epoch] = expected - 1
        for predecessor in self.predecessors.values():
            if predecessor is not None:
                epoch, last = predecessor  # type: ignore[misc]
                assert lasts[epoch] == last, f"{epoch}: {lasts[epoch]}, successor says {last}"
        return lasts


def deliver(spool: Spool, cloud: Cloud, most: int | None = None) -> int:
    """Send what waits, as an uploader whose network never fails."""
    sent = 0
    while most is None or sent < most:
        batch = spool.next_batch()
        if batch is None:
            break
        content = spool.read(batch)
        if content is None:
            continue
        cloud.receive(batch, content)
        spool.remove(batch, len(content))
        sent += 1
    return sent
