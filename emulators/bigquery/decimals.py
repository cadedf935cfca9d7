"""Correction: NUMERIC is DECIMAL(38, 9) wherever a statement says so, and a HUGEINT is no NUMERIC.

bqemulator's translation leaves a bare DECIMAL, which DuckDB takes for DECIMAL(18, 3): a cast
would round, a column would overflow. DuckDB's COUNT_IF and SUM of integers are HUGEINT, which comes
out of Arrow as decimal(38, 0), a type that no NUMERIC has: BigQuery's are INT64.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.storage import arrow_bridge

# Strings and quoted names are matched to be left alone.
_BARE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b(?:DECIMAL|NUMERIC)\b(?!\s*\()""")


def install() -> None:
    """Apply the correction."""
    original = executor.rewrite_and_translate_statement

    async def translate(*arguments: Any, **options: Any) -> str:
        return widen_decimals(await original(*arguments, **options))

    for module in (executor, interpreter):
        module.rewrite_and_translate_statement = translate
    names = arrow_bridge._ARROW_SCALAR_TO_BQ_NAME
    arrow_bridge._ARROW_SCALAR_TO_BQ_NAME = ((_is_hugeint, "INTEGER"), *names)


def _is_hugeint(kind: pa.DataType) -> bool:
    return bool(kind == pa.decimal128(38, 0))


def widen_decimals(sql: str) -> str:
    """DuckDB's SQL with each bare DECIMAL as BigQuery's NUMERIC."""
    return _BARE.sub(lambda match: match[0] if match[0][0] in "'\"" else "DECIMAL(38, 9)", sql)
