"""What one SELECT reads and makes: its tables, its columns, and where those come from. Pure.

The text is BigQuery's SQL. Every output column is named and its sources are known, so `SELECT *`
over a table is refused, and so is a column of which nobody says whose it is. Names are compared as
they are written, upper and lower case apart: both warehouses read such a text in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.lineage import Node

Transformation = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"]
"""How an output column comes from its sources, in OpenLineage's words."""

ColumnSource = tuple[str, str]
"""A table as the SQL names it (`curated.flights`), and one of its columns."""

_DIALECT = "bigquery, normalization_strategy=case_sensitive"
_LAYERS = ("curated", "marts")
_NO_COLUMN = " "
"""Stands in for the columns of a table of which none is read, as in COUNT(*)."""

_POSITION = re.compile(r"\.? Line:? (\d+), Col: \d+\.?")


class SelectFault(Exception):
    """What is wrong with a text, and at which of its lines."""


@dataclass(frozen=True, slots=True)
class Select:
    """`tables` are (layer, name); `lineage` has the output columns in their order. `counts` are
    the columns that tell no more of their sources than how many values there are."""

    tables: frozenset[tuple[str, str]]
    lineage: Mapping[str, frozenset[ColumnSource]]
    transformations: Mapping[str, Transformation]
    counts: frozenset[str]


@lru_cache(256)
def read_select(text: str) -> Select:
    """The one SELECT, or set operation of SELECTs, that the text is. Raises SelectFault.

    Kept, because it takes tens of milliseconds and whoever asks for marts or lineage asks it of
    every mart.
    """
    query = _parse_select(text)
    tables = _find_tables(query)
    nodes = _trace_columns(query)
    return Select(
        frozenset(tables),
        {column: frozenset(_leaves(node)) for column, node in nodes.items()},
        {column: _classify(node) for column, node in nodes.items()},
        frozenset(column for column, node in nodes.items() if _only_counts(node)),
    )


def _parse_select(text: str) -> exp.Query:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, ParseError, TokenError

    try:
        statements = sqlglot.parse(text, dialect=_DIALECT, error_level=ErrorLevel.RAISE)
    except ParseError as error:
        first = error.errors[0]
        near = f" near {first['highlight']!r}" if first.get("highlight") else ""
        raise SelectFault(f"line {first.get('line')}: the SQL cannot be parsed{near}") from error
    except TokenError as error:
        line = text.rstrip().count("\n") + 1
        raise SelectFault(
            f"line {line}: the SQL ends inside a string, a quoted name or a comment"
        ) from error
    found = [statement for statement in statements if statement is not None]
    if not found:
        raise SelectFault("there is no SELECT")
    query = found[0]
    if not isinstance(query, exp.Select | exp.SetOperation):
        word = text[_first_offset(text) :].split(None, 1)[0].upper()
        raise SelectFault(f"line {_first_line(text)}: a mart is one SELECT, and this is {word}")
    if len(found) > 1:
        raise SelectFault("there is more than one statement; a mart is one SELECT")
    into = query.find(exp.Into)
    if into is not None:
        raise SelectFault(f"line {_line(into)}: a mart does not say INTO; its name is its file's")
    return query


def _first_offset(text: str) -> int:
    """Where the first character stands that is neither white space nor in a `--` comment."""
    found = re.match(r"(\s|--[^\n]*(\n|$))*", text)
    return found.end() if found else 0


def _first_line(text: str) -> int:
    return text.count("\n", 0, _first_offset(text)) + 1


def _line(node: exp.Expr) -> int:
    """The line of the first token under a node that remembers one; 1 when none does."""
    lines = [each.meta["line"] for each in node.walk() if "line" in each.meta]
    return min(lines, default=1)


def _find_tables(query: exp.Query) -> set[ColumnSource]:
    """The (layer, name) of every table that the query reads; CTEs are none."""
    tables: set[ColumnSource] = set()
    for table in _real_tables(query):
        line = _line(table)
        if not table.name or table.catalog or table.db not in _LAYERS:
            raise SelectFault(
                f"line {line}: {table.sql(dialect='bigquery', comments=False)} cannot be read; a "
                "mart reads curated.<dataset> and marts.<name>"
            )
        if not re.fullmatch(r"\w+", table.name):
            raise SelectFault(f"line {line}: {table.name!r} is not the name of one table")
        tables.add((table.db, table.name))
    return tables


def _real_tables(query: exp.Query) -> Iterator[exp.Table]:
    from sqlglot import exp

    for scope in _scopes(query):
        yield from (source for source in scope.sources.values() if isinstance(source, exp.Table))


def _scopes(query: exp.Query) -> list[Any]:
    from sqlglot.errors import OptimizeError
    from sqlglot.optimizer.scope import traverse_scope

    try:
        return traverse_scope(query)
    except OptimizeError as error:
        raise _located(str(error), "") from error


def _located(problem: str, advice: str) -> SelectFault:
    """A fault from what sqlglot says, with its position put first."""
    found = _POSITION.search(problem)
    where = f"line {found[1]}: " if found else ""
    what = _POSITION.sub("", problem).rstrip(".")
    return SelectFault(f"{where}{what[:1].lower()}{what[1:]}{advice}")


# --- Columns -------------------------------------------------------------------------------------


def _trace_columns(query: exp.Query) -> dict[str, Node]:
    """The output columns in order, each with the tree of what it is made of."""
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify_tables import qualify_tables

    _check_output(query)
    _check_stars(query)
    tree = qualify_tables(query.copy(), dialect=_DIALECT)
    try:
        return lineage(
            None, tree, _infer_schema(tree), dialect=_DIALECT, validate_qualify_columns=True
        )
    except SqlglotError as error:
        advice = "; where several tables are joined, write each column's table before it"
        raise _located(str(error), advice) from error


def _check_output(query: exp.Query) -> None:
    """Every output column has a name of its own (BigQuery compares them without case)."""
    taken: set[str] = set()
    for projection in query.selects:
        name = projection.output_name
        if not name and not projection.is_star:
            sql = projection.sql(dialect="bigquery", comments=False)
            raise SelectFault(
                f"line {_line(projection)}: the column {sql} has no name; add AS <name>"
            )
        if name.lower() in taken:
            raise SelectFault(f"line {_line(projection)}: there is more than one column {name!r}")
        taken.add(name.lower())


def _check_stars(query: exp.Query) -> None:
    """A star over a table would hide which columns a mart has and reads."""
    from sqlglot import exp

    for scope in _scopes(query):
        if not isinstance(scope.expression, exp.Select):
            continue
        reads_table = any(isinstance(source, exp.Table) for source in scope.sources.values())
        for projection in scope.expression.selects:
            if projection.is_star and reads_table:
                raise SelectFault(
                    f"line {_line(projection)}: name the columns instead of "
                    f"{projection.sql(dialect='bigquery', comments=False)}, so that a new column "
                    "of a table never changes the mart"
                )


def _infer_schema(tree: exp.Query) -> dict[str, dict[str, dict[str, str]]]:
    """The columns that the query itself says each table has: {layer: {table: {column: type}}}.

    A column belongs to the table that is written before it, or to the only table of its SELECT. So
    sqlglot resolves names without being told the tables' real columns, and refuses what it cannot.
    """
    from sqlglot import exp

    schema: dict[str, dict[str, dict[str, str]]] = {}

    def add(table: object, column: str) -> None:
        if isinstance(table, exp.Table):
            schema.setdefault(table.db, {}).setdefault(table.name, {})[column] = "STRING"

    for scope in _scopes(tree):
        sources = list(scope.sources.values())
        for source in sources:
            add(source, _NO_COLUMN)
        aliases = {each.alias for each in getattr(scope.expression, "selects", ()) if each.alias}
        for column in scope.columns:
            if column.table:
                add(scope.sources.get(column.table), column.name)
            elif len(sources) == 1 and not _names_alias(column, aliases):
                add(sources[0], column.name)
        for joined, others in _joins_using(scope):
            for name in joined.args["using"]:
                add(scope.sources.get(joined.alias_or_name), name.name)
                if len(others) == 1:
                    add(others[0], name.name)
    return schema


def _names_alias(column: exp.Column, aliases: set[str]) -> bool:
    """Whether GROUP BY, HAVING, QUALIFY or ORDER BY names an output column here."""
    from sqlglot import exp

    clause = column.find_ancestor(exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Select)
    return column.name in aliases and not isinstance(clause, exp.Select)


def _joins_using(scope: Any) -> Iterator[tuple[exp.Join, list[object]]]:
    """Each join that says USING, with the sources that stand before it."""
    joins = scope.expression.args.get("joins") or []
    names = {join.alias_or_name for join in joins}
    before = [source for name, source in scope.sources.items() if name not in names]
    for join in joins:
        if join.args.get("using"):
            yield join, list(before)
        before.append(scope.sources.get(join.alias_or_name))


def _leaves(node: Node) -> Iterator[ColumnSource]:
    from sqlglot import exp

    for each in node.walk():
        if isinstance(each.expression, exp.Table):
            table = each.expression
            column = exp.to_column(each.name, dialect=_DIALECT).name
            yield f"{table.db}.{table.name}", column


def _only_counts(node: Node) -> bool:
    """Whether every value on the way to the column ends in a count, there or in what it reads."""
    from sqlglot import exp

    if isinstance(node.expression, exp.Table):
        return False
    columns = list(node.expression.find_all(exp.Column))
    if columns and all(each.find_ancestor(exp.Count, exp.CountIf) for each in columns):
        return True
    return bool(node.downstream) and all(_only_counts(each) for each in node.downstream)


def _classify(node: Node) -> Transformation:
    from sqlglot import exp

    steps = [each.expression for each in node.walk() if not isinstance(each.expression, exp.Table)]
    if any(step.find(exp.AggFunc) for step in steps):
        return "AGGREGATION"
    plain = all(isinstance(step.unalias().unnest(), exp.Column) for step in steps)
    return "IDENTITY" if plain else "TRANSFORMATION"
