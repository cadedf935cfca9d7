"""Correction: MERGE refuses a target row that several source rows would change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import sqlglot
from bqemulator.domain.errors import InvalidQueryError
from sqlglot import exp


async def check_merge(sql: str, run: Callable[[str], Awaitable[Any]]) -> None:
    """Refuse, before it runs, a MERGE whose source matches a target row more than once.

    ``run`` executes a query in BigQuery's SQL, in the statement's own place: in its transaction,
    with its variables and parameters.
    """
    counting = _build_count(sql)
    if counting is None:
        return
    table = await run(counting.sql(dialect="bigquery"))
    if table.column(0)[0].as_py():
        raise InvalidQueryError(
            "UPDATE/MERGE must match at most one source row for each target row"
        )


def _build_count(sql: str) -> exp.Select | None:
    """How many target rows are matched more than once by a clause that changes them."""
    if "merge" not in sql.lower():
        return None
    try:
        merge = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError:
        return None
    if not isinstance(merge, exp.Merge) or merge.args.get("on") is None:
        return None
    clauses = [when for when in merge.args["whens"].expressions if when.args.get("matched") is True]
    if not clauses:
        return None
    conditions = [when.args.get("condition") or exp.true() for when in clauses]
    row = exp.column("rowid", table=merge.this.alias_or_name)
    matched = (
        exp.select(row)
        .from_(merge.this.copy())
        .join(merge.args["using"].copy(), on=merge.args["on"].copy())
        .where(exp.or_(*(condition.copy() for condition in conditions)))
        .group_by(row.copy())
        .having("COUNT(*) > 1")
    )
    return exp.select("COUNT(*)").from_(matched.subquery("matched"))
