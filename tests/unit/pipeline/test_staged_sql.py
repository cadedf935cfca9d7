"""What a `sql` rule may do, whoever wrote it and however it came past the contract's reader."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.contracts.contract import QualityRule
from eventpulse.pipeline import staged_sql
from eventpulse.pipeline.staged_sql import Answer, ask_sql_rules
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from eventpulse.values import Document
from eventpulse.wiring import WiredPlatform
from tests.unit.rows.row_checks import contract_of, field_of


def ask(query: str) -> Answer:
    rule = QualityRule("asked", "sql", "mustBe", (0,), query=query)
    contract = contract_of(field_of("integer", name="id"), quality=(rule,))
    return ask_sql_rules(cast(Platform, None), contract, [])["asked"]


def test_a_number_is_an_answer() -> None:
    assert ask("SELECT COUNT(*) FROM `curated`.`sales`") == {"value": 0}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM read_text('{file}')",
        "SELECT (SELECT COUNT(*) FROM read_csv('{file}')) FROM `curated`.`sales`",
        "SELECT COUNT(*) FROM '{file}'",
        "SELECT COUNT(*) FROM duckdb_settings()",
        "SELECT COUNT(*) FROM information_schema.tables",
        "COPY (SELECT 1) TO '{file}'",
        "SET memory_limit = '10GB'",
        "INSTALL httpfs",
        "ATTACH '{file}' AS other",
        "SELECT 1; DROP TABLE `curated`.`sales`",
        "DROP TABLE `curated`.`sales`",
    ],
)
def test_no_query_reaches_anything_but_the_rows(query: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    assert "problem" in ask(query.format(file=file))
    assert file.read_text() == "a\n1\n"


def test_the_database_is_locked_even_without_that_check(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    contract = contract_of(field_of("integer", name="id"))
    with staged_sql._open_rows(contract, [], tmp_path / "spill") as connection:
        for statement in (
            f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/other.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


def test_rows_are_asked_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function keeps in files it keeps in memory, and staged rows have no bound."""
    objects = FileObjectStore(f"file://{tmp_path}/objects", sign_key=b"x", upload_url="http://x/")
    platform = WiredPlatform(Settings(), objects=objects)
    staged = []
    for number in range(2):
        with objects.write("staged", f"{number}.parquet") as out:
            pq.write_table(pa.table({"id": [1, 2, 3], "_source_row": [1, 2, 3]}), out)
        generation = out.stored.ref.generation
        staged.append(Document(uri="", name=out.stored.ref.name, generation=generation, sha256=""))
    files: list[Path] = []
    asked = staged_sql._ask

    def look_around(*given: Any) -> Answer:
        files.extend(each for each in (tmp_path / "memory").rglob("*") if each.is_file())
        return asked(*given)

    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "memory"))
    monkeypatch.setattr(staged_sql, "_ask", look_around)
    rows = "`curated`.`sales`"
    queries = {
        "sum": f"SELECT SUM(id) FROM {rows}",
        "twice": f"SELECT COUNT(*) FROM {rows} AS a JOIN {rows} AS b ON a.id = b.id",
    }
    rules = [QualityRule(n, "sql", "mustBe", (0,), query=each) for n, each in queries.items()]
    contract = contract_of(field_of("integer", name="id"), quality=tuple(rules))
    answers = ask_sql_rules(platform, contract, staged)
    assert answers == {"sum": {"value": 12}, "twice": {"value": 12}}
    assert files == []


def test_a_query_that_does_not_end_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_sql, "LONGEST_SECONDS", 0.2)
    endless = (
        "WITH n AS (SELECT * FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS x)"
        " SELECT SUM(a.x * b.x) FROM n AS a CROSS JOIN n AS b"
    )
    assert ask(endless) == {"problem": "it took longer than 0.2 seconds"}
