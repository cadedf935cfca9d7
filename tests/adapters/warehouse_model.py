"""What a warehouse must show, in plain Python: slow, and easy to believe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventpulse.ports import DatasetTable, RowCounts
from tests.adapters.warehouse_lanes import File

Placed = tuple[File, int]
"""A row: its file, and its number counted from 1."""


@dataclass
class Model:
    """The active files; who wins is decided anew each time that somebody asks."""

    table: DatasetTable
    active: dict[str, File] = field(default_factory=dict)

    def publish(self, activate: Iterable[File], deactivate: Iterable[str]) -> None:
        for name in deactivate:
            self.active.pop(name, None)
        self.active |= {file.ingestion: file for file in activate}

    def winners(self) -> list[Placed]:
        """One row per key."""
        best: dict[tuple[Any, ...], Placed] = {}
        for file in self.active.values():
            for number in range(1, len(file.rows) + 1):
                placed = (file, number)
                key = self._key(placed)
                if key not in best or self._rank(placed) > self._rank(best[key]):
                    best[key] = placed
        return list(best.values())

    def rows(self) -> list[Mapping[str, Any]]:
        return [file.rows[number - 1] for file, number in self.winners()]

    def counts(self) -> dict[str, RowCounts]:
        """Of every active ingestion."""
        current = Counter(file.ingestion for file, _ in self.winners())
        return {
            name: RowCounts(len(file.rows), current[name]) for name, file in self.active.items()
        }

    def _key(self, placed: Placed) -> tuple[Any, ...]:
        file, number = placed
        if not self.table.key:
            return (sha256_of(file), number)
        return tuple(file.rows[number - 1][name] for name in self.table.key)

    def _rank(self, placed: Placed) -> tuple[Any, ...]:
        file, number = placed
        ordering: tuple[Any, ...] = ()
        if self.table.ordering is not None:
            ordering = rank_value(file.rows[number - 1].get(self.table.ordering))
        return (*ordering, file.created, sha256_of(file), number, file.ingestion)


def rank_value(value: Any) -> tuple[Any, ...]:
    """Null is below NaN, NaN below every other value; text goes by its bytes."""
    if value is None:
        return (0, 0)
    if isinstance(value, float) and math.isnan(value):
        return (1, 0)
    return (2, value.encode() if isinstance(value, str) else value)


def sha256_of(file: File) -> str:
    return file.sha256 or file.ingestion.ljust(64, "0")


def comparable(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Rows as a sorted list that can be compared, NaN and all."""
    return sorted(repr([row.get(name) for name in names]) for row in rows)
