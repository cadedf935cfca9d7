"""The one statement, as SQL: which row the curated table shows for each touched key.

Load, late data, replay, retract and rebuild are all this:

    touched  the keys of the history rows of the ingestions that are named
    ranked   the history rows of the touched keys, those of active ingestions first, then the
             greatest by (ordering column, _source_created_at, _source_sha256, _source_row,
             _ingestion_id), nulls last, and a NaN below every number
    changes  the first of each key, where the curated table shows another row or none; without an
             active ingestion (`_loaded_at` is null) the key must go
    apply    `changes` to the curated table, and their sums to `rows_current` of the ingestions
             that lost (`_shown`) or won (`_ingestion_id`) rows

Both warehouses run the same text. A `Dialect` says what differs: quoting, names, types, and how
rows of some keys are found best. Key columns are never null, so that `=` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from eventpulse.ports import Activation, Column, DatasetTable
from eventpulse.rows.arrow import CURATED_COLUMNS

SOURCE_KEY = ("_source_sha256", "_source_row")
"""The key of a row of a dataset without one."""

_ROW_IDENTITY = ("_ingestion_id", "_source_sha256", "_source_row", "_contract_version")
_LAST_RESORTS = ("_source_created_at", "_source_sha256", "_source_row", "_ingestion_id")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the SQL of the two warehouses does not have in common.

    `quote` makes an identifier, `literal` a string literal. `of_keys` takes a table as `h`, the
    key, and a SELECT of keys (some more than once), and makes a SELECT of the rows of those keys
    that ends in a condition.
    `curate` turns a history column's expression into the curated column's, `nan_to_null` a
    floating point expression into one without NaN.
    """

    quote: Callable[[str], str]
    literal: Callable[[str], str]
    timestamp: str
    of_keys: Callable[[str, Sequence[str], str], str]
    curate: Callable[[Column, str], str]
    nan_to_null: Callable[[str], str]


@dataclass(frozen=True)
class Recompute:
    """The statements for one dataset. The tables' names come quoted; `changes` is a temporary.

    `bound` says of a row, by its alias, what holds for every touched key, so that an engine without
    indexes reads no more than it must.
    """

    table: DatasetTable
    dialect: Dialect
    history: str
    active: str
    curated: str
    changes: str
    bound: Callable[[str], str] = lambda _: "TRUE"

    @cached_property
    def key(self) -> list[str]:
        """The key's columns, quoted."""
        return [self.dialect.quote(name) for name in row_key(self.table)]

    @cached_property
    def columns(self) -> list[str]:
        """All columns of the curated table, quoted."""
        quote = self.dialect.quote
        return [quote(c.name) for c in (*self.table.columns, *CURATED_COLUMNS)]

    def count_loaded(self, ingestions: Iterable[str]) -> str:
        """SELECT: each ingestion that has rows in the history, and how many."""
        return (
            f"SELECT _ingestion_id, COUNT(*) AS loaded FROM {self.history}"
            f" WHERE _ingestion_id IN ({self._list(ingestions)}) GROUP BY _ingestion_id"
        )

    def deactivate(self, ingestions: Iterable[str]) -> str:
        return f"DELETE FROM {self.active} WHERE ingestion_id IN ({self._list(ingestions)})"

    def discard(self, ingestions: Iterable[str]) -> str:
        """DELETE: the history rows of ingestions that are not active."""
        return (
            f"DELETE FROM {self.history} WHERE _ingestion_id IN ({self._list(ingestions)})"
            f" AND _ingestion_id NOT IN (SELECT ingestion_id FROM {self.active})"
        )

    def activate(self, activations: Iterable[Activation]) -> str:
        """MERGE into the active ingestions; one that is there keeps its `rows_current`."""
        return f"""
MERGE INTO {self.active} AS a USING ({self.describe(activations)}) AS n
ON a.ingestion_id = n.ingestion_id
WHEN MATCHED THEN UPDATE SET contract_version = n.contract_version, loaded_at = n.loaded_at,
  rows_accepted = n.rows_accepted
WHEN NOT MATCHED THEN
  INSERT (ingestion_id, contract_version, loaded_at, rows_accepted, rows_current)
  VALUES (n.ingestion_id, n.contract_version, n.loaded_at, n.rows_accepted, 0)"""

    def raise_fence(self, fence: int) -> str:
        """MERGE: note a publish's fence, unless a greater one is noted, in the active ingestions'
        one row without an ingestion. Two publishes at once meet there."""
        return f"""
MERGE INTO {self.active} AS a USING (SELECT '' AS ingestion_id, {fence:d} AS fence) AS n
ON a.ingestion_id = n.ingestion_id
WHEN MATCHED AND a.fence <= n.fence THEN UPDATE SET fence = n.fence
WHEN NOT MATCHED THEN
  INSERT (ingestion_id, contract_version, loaded_at, rows_accepted, rows_current, fence)
  VALUES ('', '', CAST('1970-01-01 00:00:00+00' AS {self.dialect.timestamp}), 0, 0, n.fence)"""

    def read_fence(self) -> str:
        """SELECT: the greatest fence of any publish."""
        return f"SELECT fence FROM {self.active} WHERE ingestion_id = ''"

    def describe(self, activations: Iterable[Activation]) -> str:
        """SELECT: the activations as rows."""
        literal, timestamp = self.dialect.literal, self.dialect.timestamp
        return " UNION ALL ".join(
            f"SELECT {literal(each.ingestion_id)} AS ingestion_id,"
            f" {literal(each.contract_version)} AS contract_version,"
            f" CAST({literal(each.loaded_at.isoformat())} AS {timestamp}) AS loaded_at,"
            f" {each.rows_accepted:d} AS rows_accepted"
            for each in activations
        )

    def find_changes(self, ingestions: Iterable[str] | None) -> str:
        """SELECT: `changes`; of None, all keys of the history count as touched."""
        winner = ", ".join(f"w.{column}" for column in self.columns)
        return f"""
SELECT {winner}, o._ingestion_id AS _shown
FROM ({self._rank(ingestions)}) AS w
LEFT JOIN {self.curated} AS o ON {self._same_key("o", "w")} AND {self.bound("o")}
WHERE w._place = 1 AND {self._is_changed()}"""

    def find_first(self) -> str:
        """SELECT: the rows of a curated table that is empty, when only new ingestions have rows."""
        return f"""
SELECT {", ".join(self.columns)} FROM ({self._select_ranked(self._active_rows)}) AS w
WHERE w._place = 1"""

    def find_only(self) -> str:
        """SELECT: as `find_first`, where no two rows of active ingestions have one key."""
        return f"SELECT {self._selected} FROM {self._active_rows}"

    def tally(self) -> str:
        """UPDATE: add to `rows_current` what `changes` brings each active ingestion."""
        return f"""
UPDATE {self.active} AS a SET rows_current = a.rows_current + t.gained
FROM (
  SELECT id, SUM(step) AS gained FROM (
    SELECT _shown AS id, -1 AS step FROM {self.changes} WHERE _shown IS NOT NULL
    UNION ALL
    SELECT _ingestion_id, 1 FROM {self.changes} WHERE _loaded_at IS NOT NULL
  ) AS steps GROUP BY id
) AS t
WHERE a.ingestion_id = t.id"""

    def tally_first(self) -> str:
        """UPDATE: `rows_current` of every active ingestion, after `find_first`."""
        return f"""
UPDATE {self.active} AS a SET rows_current = t.shown
FROM (SELECT _ingestion_id, COUNT(*) AS shown FROM {self.curated} GROUP BY _ingestion_id) AS t
WHERE a.ingestion_id = t._ingestion_id"""

    def row_counts(self, ingestions: Iterable[str]) -> str:
        """SELECT: ingestion_id, rows_accepted, rows_current of those that are active."""
        return (
            f"SELECT ingestion_id, rows_accepted, rows_current FROM {self.active}"
            f" WHERE ingestion_id IN ({self._list(ingestions)})"
        )

    def merge(self) -> str:
        """MERGE: apply `changes` at once."""
        assignments = ", ".join(f"{column} = s.{column}" for column in self.columns)
        values = ", ".join(f"s.{column}" for column in self.columns)
        return f"""
MERGE INTO {self.curated} AS o USING {self.changes} AS s
ON {self._same_key("o", "s")} AND {self.bound("o")}
WHEN MATCHED AND s._loaded_at IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET {assignments}
WHEN NOT MATCHED THEN INSERT ({", ".join(self.columns)}) VALUES ({values})"""

    def delete_shown(self) -> str:
        """DELETE: the rows that `changes` takes out or replaces."""
        return (
            f"DELETE FROM {self.curated} AS o USING {self.changes} AS s"
            f" WHERE s._shown IS NOT NULL AND {self._same_key('o', 's')}"
        )

    def insert_won(self) -> str:
        """INSERT: the rows that `changes` brings, after `delete_shown`."""
        columns = ", ".join(self.columns)
        return (
            f"INSERT INTO {self.curated} ({columns})"
            f" SELECT {columns} FROM {self.changes} WHERE _loaded_at IS NOT NULL"
        )

    def touched(self, ingestions: Iterable[str]) -> str:
        """SELECT: the keys of all rows of the ingestions, once per row."""
        return (
            f"SELECT {', '.join(self.key)} FROM {self.history}"
            f" WHERE _ingestion_id IN ({self._list(ingestions)})"
        )

    def _rank(self, ingestions: Iterable[str] | None) -> str:
        history = f"{self.history} AS h"
        rows = (
            f"SELECT h.* FROM {history} WHERE TRUE"
            if ingestions is None
            else self.dialect.of_keys(history, self.key, self.touched(ingestions))
        )
        return self._select_ranked(
            f"({rows} AND {self.bound('h')}) AS h"
            f" LEFT JOIN {self.active} AS a ON a.ingestion_id = h._ingestion_id"
        )

    @property
    def _active_rows(self) -> str:
        return f"{self.history} AS h JOIN {self.active} AS a ON a.ingestion_id = h._ingestion_id"

    @property
    def _selected(self) -> str:
        """The curated columns of a history row `h` and its ingestion `a`."""
        quote, curate = self.dialect.quote, self.dialect.curate
        contract = [
            f"{curate(c, f'h.{quote(c.name)}')} AS {quote(c.name)}" for c in self.table.columns
        ]
        columns = [
            *contract,
            "h._ingestion_id AS _ingestion_id",
            "h._source_row AS _source_row",
            "h._source_sha256 AS _source_sha256",
            "a.contract_version AS _contract_version",
            "a.loaded_at AS _loaded_at",
        ]
        return ", ".join(columns)

    def _select_ranked(self, source: str) -> str:
        partition = ", ".join(f"h.{column}" for column in self.key)
        return f"""
SELECT {self._selected},
  ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY {", ".join(self._order())}) AS _place
FROM {source}"""

    def _order(self) -> list[str]:
        terms = ["a.ingestion_id IS NULL"]
        if self.table.ordering is not None:
            column = find_column(self.table, self.table.ordering)
            value = f"h.{self.dialect.quote(column.name)}"
            if column.type == "number":
                terms += [f"{self.dialect.nan_to_null(value)} DESC NULLS LAST", f"{value} IS NULL"]
            else:
                terms.append(f"{value} DESC NULLS LAST")
        return [*terms, *(f"h.{name} DESC" for name in _LAST_RESORTS)]

    def _is_changed(self) -> str:
        differs = " OR ".join(f"w.{name} <> o.{name}" for name in (*_ROW_IDENTITY, "_loaded_at"))
        return (
            "CASE WHEN w._loaded_at IS NULL THEN o._ingestion_id IS NOT NULL"
            f" ELSE o._ingestion_id IS NULL OR {differs} END"
        )

    def _same_key(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{column} = {right}.{column}" for column in self.key)

    def _list(self, ingestions: Iterable[str]) -> str:
        return ", ".join(map(self.dialect.literal, ingestions)) or "NULL"


def row_key(table: DatasetTable) -> tuple[str, ...]:
    return table.key or SOURCE_KEY


def find_column(table: DatasetTable, name: str) -> Column:
    """The column of that name. Raises KeyError."""
    for column in table.columns:
        if column.name == name:
            return column
    raise KeyError(f"{table.dataset} has no column {name!r}")
