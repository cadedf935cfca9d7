"""`sql` rules of a contract, asked of the rows that one ingestion has staged, by DuckDB.

Not of the curated table: what stands there depends on which files came before, and a verdict must
not. A rule that reads another table is therefore a warning that it was not asked, whatever its
severity, and one that cannot be answered is broken, with the reason.

A query comes from a contract, and can do no more than read: it is one SELECT over one table, in a
process memory of its own, without files, network, extensions or settings, and it is interrupted
when it takes too long.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from math import isfinite
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, BinaryIO

from eventpulse.contracts.contract import Contract, QualityRule
from eventpulse.pipeline.documents import ref_of
from eventpulse.platform import Platform
from eventpulse.ports import Json
from eventpulse.rows.arrow import arrow_schema
from eventpulse.values import Document

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as pads

LONGEST_SECONDS = 60.0
MEMORY_LIMIT = "256MB"
SPILL_LIMIT = "512MB"

_LOCKED = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET lock_configuration = true",
)

Answer = Mapping[str, Json]
"""`value`: the number that the query found; or `problem`: why there is none; `foreign`: it reads
other tables."""


def ask_sql_rules(
    platform: Platform, contract: Contract, staged: Sequence[Document]
) -> dict[str, Answer]:
    """What each `sql` rule finds in the staged rows, by the rules' names.

    `contract` is that under which the rows were staged.
    """
    rules = [rule for rule in contract.quality if rule.type == "sql"]
    if not rules:
        return {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [
            stack.enter_context(platform.objects.open(ref_of("staged", document)))
            for document in staged
        ]
        connection = stack.enter_context(_open_rows(contract, files, folder / "spill"))
        return {rule.name: _ask(connection, contract, rule) for rule in rules}


def _open_rows(
    contract: Contract, files: Sequence[BinaryIO], spill: Path
) -> duckdb.DuckDBPyConnection:
    """A database with one table, curated.<dataset>: the staged rows, read where they lie, or none.

    What a query cannot hold goes to `spill`, which is memory in a function, and so has its bound.
    """
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2})
    columns = contract.table().columns
    table = f'curated."{contract.dataset.replace(chr(34), chr(34) * 2)}"'
    names = ", ".join('"' + c.name.replace('"', '""') + '"' for c in columns)
    connection.register(
        "staged", _read_rows(files) if files else arrow_schema(columns).empty_table()
    )
    connection.execute("CREATE SCHEMA curated")
    connection.execute(f"CREATE VIEW {table} AS SELECT {names} FROM staged")
    connection.execute("SET temp_directory = ?", [str(spill)])
    connection.execute("SET max_temp_directory_size = ?", [SPILL_LIMIT])
    connection.execute("SET TimeZone = 'UTC'")
    for setting in _LOCKED:
        connection.execute(setting)
    return connection


def _read_rows(files: Sequence[BinaryIO]) -> pads.Dataset:
    """Staged Parquet as one dataset, of which a query takes the columns that it asks for."""
    import pyarrow as pa
    import pyarrow.dataset as pads

    parquet = pads.ParquetFileFormat()
    parts = [parquet.make_fragment(pa.PythonFile(each, mode="r")) for each in files]
    return pads.FileSystemDataset(parts, parts[0].physical_schema, parquet)


def _ask(connection: duckdb.DuckDBPyConnection, contract: Contract, rule: QualityRule) -> Answer:
    import duckdb
    from sqlglot import exp, parse_one, transpile
    from sqlglot.errors import SqlglotError

    assert rule.query is not None, "the reader refuses a rule without a query"
    try:
        query = parse_one(rule.query, read="bigquery")
        defined = {cte.alias_or_name for cte in query.find_all(exp.CTE)}
        for table in query.find_all(exp.Table):
            own = table.db == "curated" and table.name == contract.dataset
            if not own and not (not table.db and table.name in defined):
                return {
                    "problem": f"it reads {table.sql(dialect='bigquery')}, and before loading only "
                    f"this file's rows of {contract.dataset} can be asked",
                    "foreign": True,
                }
        (statement,) = transpile(rule.query, read="bigquery", write="duckdb")
    except (SqlglotError, ValueError, RecursionError) as error:
        return {"problem": f"its SQL cannot be translated ({type(error).__name__})"}
    timer = Timer(LONGEST_SECONDS, connection.interrupt)
    timer.start()
    try:
        rows = connection.execute(statement).fetchmany(2)
    except duckdb.InterruptException:
        return {"problem": f"it took longer than {LONGEST_SECONDS:g} seconds"}
    except duckdb.Error as error:
        return {"problem": f"it was refused: {_describe(error, contract)}"}
    finally:
        timer.cancel()
    return _read_answer(rows)


def _read_answer(rows: Sequence[Sequence[Any]]) -> Answer:
    if len(rows) != 1 or len(rows[0]) != 1:
        return {"problem": "it must return one number, in one row"}
    value = rows[0][0]
    if isinstance(value, bool | int | float | Decimal):
        number = float(value)
        if isfinite(number):
            return {"value": number}
    return {"problem": "it must return one number, and returned none"}


def _describe(error: Exception, contract: Contract) -> str:
    """The engine's words; only their kind where they might quote a cell that is to be masked."""
    kind = type(error).__name__.removesuffix("Exception")
    if any(each.masked for each in contract.fields):
        return f"{kind} error"
    return str(error).strip().split("\n", 1)[0][:300]
