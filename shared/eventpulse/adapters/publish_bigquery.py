"""The publish of a dataset in BigQuery: a survey, and then one script with one transaction.

The survey reads a few columns of the history: how many rows each named ingestion has, and between
which keys they lie. It may stand before the transaction, because all rows of an ingestion are
loaded before it is published, and none is changed later. The script gets the bounds as parameters,
by which BigQuery prunes partitions and clusters, as it would not by a join.

What fails in the script is rolled back: BigQuery does so with a transaction that a script leaves
open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.cloud import bigquery

from eventpulse.adapters.recompute import Dialect, Recompute, find_column, row_key
from eventpulse.adapters.tables_bigquery import cluster_columns, sql_type
from eventpulse.adapters.warehouse_values import only_deactivated
from eventpulse.ports import Activation, Column, DatasetTable
from eventpulse.rows.arrow import SOURCE_COLUMNS

OVERTAKEN = "a later publish was done already"
"""What BigQuery's error says when a publish comes too late."""


def quote(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # JSON's escapes are among BigQuery's


def _of_keys(table: str, key: Sequence[str], keys: str) -> str:
    matches = " AND ".join(f"h.{column} = t.{column}" for column in key)
    distinct = f"SELECT DISTINCT {', '.join(key)} FROM ({keys})"
    return f"SELECT h.* FROM {table} JOIN ({distinct}) AS t ON {matches} WHERE TRUE"


def _curate(column: Column, expression: str) -> str:
    if column.type == "json":
        return f"PARSE_JSON({expression}, wide_number_mode=>'round')"
    return expression


DIALECT = Dialect(
    quote=quote,
    literal=literal,
    timestamp="TIMESTAMP",
    of_keys=_of_keys,
    curate=_curate,
    nan_to_null=lambda expression: f"IF(IS_NAN({expression}), NULL, {expression})",
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What the history holds of the named ingestions: their rows, and the bounds of their keys."""

    loaded: Mapping[str, int]
    bounds: Sequence[tuple[Any, Any]] = field(default_factory=tuple)


def make_recompute(
    table: DatasetTable,
    names: Mapping[str, str],
    bound: Callable[[str], str] = lambda _: "TRUE",
) -> Recompute:
    """`names` are the quoted names of the tables `history`, `active`, `curated`."""
    changes = quote(f"changes_{table.dataset}")
    return Recompute(table, DIALECT, **names, changes=changes, bound=bound)


class Publish:
    """One publish. `names` are the quoted names of the tables `history`, `active`, `curated`."""

    def __init__(
        self,
        table: DatasetTable,
        names: Mapping[str, str],
        activate: Sequence[Activation],
        deactivate: Sequence[str],
        fence: int,
    ) -> None:
        self._fence = fence
        self._activate = activate
        self._activated = [each.ingestion_id for each in activate]
        self._deactivate = only_deactivated(activate, deactivate)
        self._named = [*self._activated, *self._deactivate]
        self._bounded = _bounded_columns(table)
        self._recompute = make_recompute(table, names, self._is_bounded)

    def make_survey(self) -> str:
        extremes = [
            f", MIN({name}), MAX({name})" for name in (quote(c.name) for c in self._bounded)
        ]
        names = ", ".join(map(literal, self._named))
        return (
            f"SELECT _ingestion_id, COUNT(*){''.join(extremes)} FROM {self._recompute.history}"
            f" WHERE _ingestion_id IN ({names}) GROUP BY _ingestion_id"
        )

    def read_survey(self, rows: Iterable[Sequence[Any]]) -> Survey:
        found = list(rows)
        pairs = [
            (min(row[at] for row in found), max(row[at + 1] for row in found))
            for at in range(2, 2 + 2 * len(self._bounded), 2)
            if found
        ]
        return Survey({row[0]: row[1] for row in found}, pairs)

    def make_script(self) -> str:
        """The script; its last SELECT has the counts of the activated ingestions."""
        recompute = self._recompute
        statements = [
            "BEGIN TRANSACTION",
            recompute.raise_fence(self._fence),
            f"ASSERT ({recompute.read_fence()}) = {self._fence:d} AS {literal(OVERTAKEN)}",
        ]
        if self._deactivate:
            statements.append(recompute.deactivate(self._deactivate))
        if self._activate:
            statements.append(recompute.activate(self._activate))
        changes = recompute.find_changes(self._named)
        statements += [
            f"CREATE TEMP TABLE {recompute.changes} AS {changes}",
            recompute.merge(),
            recompute.tally(),
            "COMMIT TRANSACTION",
            recompute.row_counts(self._activated),
        ]
        return ";\n".join(statements)

    def make_parameters(self, survey: Survey) -> list[bigquery.ScalarQueryParameter]:
        """The script's parameters: null when no key is touched, which nothing lies between."""
        bounds = survey.bounds or [(None, None)] * len(self._bounded)
        return [
            bigquery.ScalarQueryParameter(f"{end}_{number}", sql_type(column), value)
            for number, (column, pair) in enumerate(zip(self._bounded, bounds, strict=True))
            for end, value in zip(("low", "high"), pair, strict=True)
        ]

    def _is_bounded(self, alias: str) -> str:
        terms = [
            f"{alias}.{quote(column.name)} BETWEEN @low_{number} AND @high_{number}"
            for number, column in enumerate(self._bounded)
        ]
        return " AND ".join(terms) or "TRUE"


def _bounded_columns(table: DatasetTable) -> list[Column]:
    """The first cluster column, and the partition's when it belongs to the key."""
    columns = {column.name: column for column in (*table.columns, *SOURCE_COLUMNS)}
    names = list(cluster_columns(table)[:1])
    if table.partition_by is not None and table.partition_by in row_key(table):
        names.append(find_column(table, table.partition_by).name)
    return [columns[name] for name in dict.fromkeys(names)]
