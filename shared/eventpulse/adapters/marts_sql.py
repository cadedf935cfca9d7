"""A mart's SELECT, from BigQuery's dialect with logical names to what a warehouse runs.

The text names `curated.<dataset>` and `marts.<name>`. For BigQuery they become the datasets of the
deployment. For Postgres the whole is translated, names as written and quoted, and each output
column is cast to the type that BigQuery gives it: otherwise SUM of integers would be a decimal in
one lane and an integer in the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from eventpulse.errors import TerminalError
from eventpulse.ports import Layer

LAYERS: tuple[Layer, ...] = ("history", "curated", "marts")

TableTypes = dict[str, dict[str, dict[str, str]]]
"""{layer: {table: {column: BigQuery type}}}"""

_COLOURS = re.compile(r"\x1b\[\d*m")  # sqlglot underlines for terminals
_BIGQUERY = "bigquery, normalization_strategy=case_sensitive"

# What Postgres calls the types that sqlglot finds for an output column; others stay as they come.
_POSTGRES_TYPES: Mapping[exp.DType, str] = {
    exp.DType.BIGINT: "bigint",
    exp.DType.INT: "bigint",
    exp.DType.DOUBLE: "double precision",
    exp.DType.DECIMAL: "numeric(38, 9)",
    exp.DType.BOOLEAN: "boolean",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPTZ: "timestamptz",
    exp.DType.TIME: "time",
    exp.DType.TEXT: "text",
    exp.DType.VARCHAR: "text",
    exp.DType.JSON: "jsonb",
}


class SqlRejected(TerminalError):
    """The warehouse cannot run the SQL of a mart: `name`, and `problem` in its own words."""

    code = "sql_rejected"

    def __init__(self, name: str, problem: object) -> None:
        text = _COLOURS.sub("", str(problem)).strip()
        super().__init__(
            f"The warehouse refused the SQL of marts.{name}: {text}", name=name, problem=text
        )


def find_tables(name: str, sql: str) -> set[tuple[str, str]]:
    """The (layer, table) pairs that the SQL of the mart `name` reads. Raises SqlRejected."""
    try:
        return {(table.db, table.name) for table in _logical_tables(_parse(sql))}
    except SqlglotError as error:
        raise SqlRejected(name, error) from error


def to_bigquery(name: str, sql: str, project: str, datasets: Mapping[Layer, str]) -> str:
    """The SQL with each layer's tables in its dataset: {layer: dataset}. Raises SqlRejected."""
    try:
        query = _parse(sql)
        for column in query.find_all(exp.Column):
            column.set("db", None)  # `curated.flights.origin`: the table's alias says it
        for table in _logical_tables(query):
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
            table.set("db", exp.to_identifier(datasets[cast(Layer, table.db)], quoted=True))
            table.set("catalog", exp.to_identifier(project, quoted=True))
        return query.sql(dialect="bigquery", comments=False)
    except SqlglotError as error:
        raise SqlRejected(name, error) from error


def to_postgres(name: str, sql: str, types: TableTypes) -> str:
    """The SQL for Postgres; `types` holds the tables that it reads. Raises SqlRejected."""
    try:
        query = qualify(
            _parse(sql), schema=_schema(types), dialect=_BIGQUERY, quote_identifiers=True
        )
        query = annotate_types(query, schema=_schema(types), dialect=_BIGQUERY)
        columns = [_cast_column(column) for column in query.selects]
        body = query.transform(_adapt).sql(dialect="postgres", comments=False, identify=True)
    except SqlglotError as error:
        raise SqlRejected(name, error) from error
    return f"SELECT {', '.join(columns)} FROM ({body}) AS mart"


def _parse(sql: str) -> exp.Query:
    query = sqlglot.parse_one(sql, dialect=_BIGQUERY)
    if not isinstance(query, exp.Query):
        raise SqlglotError("it is not a SELECT")
    return query


def _logical_tables(query: exp.Query) -> list[exp.Table]:
    """The tables that are read, without CTEs."""
    return [
        source
        for scope in traverse_scope(query)
        for source in scope.sources.values()
        if isinstance(source, exp.Table) and source.db in LAYERS and not source.catalog
    ]


def _schema(types: TableTypes) -> dict[str, object]:
    return dict(types)


def _cast_column(column: exp.Expr) -> str:
    name = exp.to_identifier(column.alias_or_name, quoted=True).sql(dialect="postgres")
    wanted = _POSTGRES_TYPES.get(column.type.this) if column.type else None
    return f"CAST({name} AS {wanted}) AS {name}" if wanted else name


def _adapt(node: exp.Expr) -> exp.Expr:
    """What sqlglot does not translate as BigQuery means it."""
    if isinstance(node, exp.CountIf):  # of no rows it is 0; the SUM that it would become is null
        return exp.Count(this=exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))]))
    if isinstance(node, exp.GenerateSeries) and isinstance(node.parent, exp.Unnest):
        return exp.Array(expressions=[exp.select(node.copy())])  # a set, and no array, in Postgres
    return node
