"""What is measured, one of it per process: `python -m tests.bench.runs NAME ARGUMENT…`."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

Said = dict[str, Any]
CONTRACT = Path(__file__).parent / "edge_telemetry.odcs.yaml"
"""Twelve columns, nine rules beside the types, a key of three columns."""

LIMITS = {
    "temperature": (-60, 85),
    "humidity": (0, 100),
    "pressure": (300, 1200),
    "battery": (0, 100),
    "rssi": (-150, 0),
    "seq": (1, None),
}
"""What pandas checks of the contract's rules, by hand."""


def measured(call: Callable[[], Said | None]) -> Said:
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    said = call() or {}
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**said, "wall": wall, "cpu": cpu}


class _WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas where it is installed; functions have none."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


# --- Ours ----------------------------------------------------------------------------------------


def validate(
    objects: str, contract: str = str(CONTRACT), *, spent: dict[str, float] | None = None
) -> Said:
    """The validate step on the only object in the raw bucket of a file store. `spent` collects what
    each stage takes."""
    sys.meta_path.insert(0, _WithoutPandas())

    from eventpulse.adapters.objects_file import FileObjectStore
    from eventpulse.leases import Delivery
    from eventpulse.pipeline.land import FinalizedObject, land_object
    from eventpulse.pipeline.registry import publish_contract
    from eventpulse.pipeline.validate import validate_ingestion
    from eventpulse.settings import Settings
    from eventpulse.wiring import WiredPlatform
    from tests.fakes import MemoryEventLog, MemoryTaskQueue

    store = FileObjectStore(f"file://{objects}", sign_key=b"bench", upload_url="")
    platform = WiredPlatform(
        Settings(), objects=store, log=MemoryEventLog(), tasks=MemoryTaskQueue()
    )
    (stored,) = store.list("raw")
    publish_contract(platform, Path(contract).read_text(), contract)
    finalized = FinalizedObject(
        store.bucket_name("raw"),
        stored.ref.name,
        stored.ref.generation,
        stored.size,
        stored.created,
        stored.content_type,
    )
    ingestion = land_object(platform, finalized)
    assert ingestion is not None
    if spent is not None:
        _watch_stages(spent)
    said = measured(lambda: validate_ingestion(platform, ingestion, Delivery()))
    found = platform.log.head(f"ingestion/{ingestion}").projection
    assert found is not None
    counts = ("rows_read", "rows_accepted", "rows_quarantined", "rows_duplicate", "state")
    return {**said, **{name: found[name] for name in counts}, "staged": found["staged"]}


def stages(objects: str) -> Said:
    """As `validate`, but one stage after the other: CPU seconds of each."""
    spent: dict[str, float] = {}
    return {**validate(objects, spent=spent), "stages": spent}


def _watch_stages(spent: dict[str, float]) -> None:
    """Have the stages of the validate step add what they take, in the thread that they run in."""
    from eventpulse.pipeline import validate as step
    from eventpulse.pipeline.staging import StagingSink
    from eventpulse.rows.validation import RowChecker

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return call(*arguments)
            finally:
                spent[name] = spent.get(name, 0.0) + time.thread_time() - start

        return watched

    def map_one_by_one(work: Callable[..., Any], items: Iterable[Any], *, threads: int) -> Any:
        del threads
        take = timed("read: bytes to cells", lambda it: next(it, None))
        examine = timed("examine: types, rules, profiles, keys' hashes", work)
        batches = iter(items)
        while (batch := take(batches)) is not None:
            yield examine(batch)

    step.map_in_order = map_one_by_one  # type: ignore[assignment]
    RowChecker.settle = timed(  # type: ignore[method-assign]
        "settle: repeated keys, facts of all rows", RowChecker.settle
    )
    for name, method in (
        ("refused rows to the quarantine, row groups made up", "write"),
        ("row groups to Parquet", "_write_group"),
    ):
        setattr(StagingSink, method, timed(name, getattr(StagingSink, method)))


def draft(source: str) -> Said:
    """What a file without a contract is read for."""
    sys.meta_path.insert(0, _WithoutPandas())

    from eventpulse.contracts.contract import Dialect
    from eventpulse.formats import open_reader
    from eventpulse.rows.surveys import survey_file

    def survey() -> Said:
        with Path(source).open("rb") as file:
            return {"rows": survey_file(open_reader(file, "bench.csv", Dialect(), ())).rows}

    return measured(survey)


# --- Plain conversions, with no checks -----------------------------------------------------------


def polars(source: str, typed: str) -> Said:
    import polars as pl

    reading = {"ignore_errors": True} if typed == "typed" else {"infer_schema": False}
    with tempfile.NamedTemporaryFile(suffix=".parquet") as out:
        return measured(
            lambda: pl.scan_csv(source, **reading).sink_parquet(out.name, compression="zstd")
        )


def duckdb(source: str, typed: str) -> Said:
    import duckdb as db

    options = "ignore_errors=true" if typed == "typed" else "all_varchar=true"
    with tempfile.TemporaryDirectory() as folder, db.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        out = f"{folder}/out.parquet"
        query = (
            f"COPY (FROM read_csv('{source}', {options})) TO '{out}'"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
        return measured(lambda: connection.execute(query) and None)


def openpyxl(source: str) -> Said:
    import openpyxl as opx

    def read() -> Said:
        book = opx.load_workbook(source, read_only=True)
        return {"rows": sum(1 for _ in book.active.iter_rows(values_only=True))}

    return measured(read)


def pyarrow(source: str) -> Said:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    pa.scalar(0.0)

    def convert() -> None:
        reader = arrow_csv.open_csv(source)
        with (
            tempfile.TemporaryFile() as out,
            pq.ParquetWriter(out, reader.schema, compression="zstd") as parquet,
        ):
            for batch in reader:
                parquet.write_table(pa.Table.from_batches([batch]))

    return measured(convert)


# --- The same checks with other tools ------------------------------------------------------------


def pandas(source: str) -> Said:
    """Read as text, cast, check the same rules and the key, and set the bad rows apart."""
    import pandas as pd

    def check() -> Said:
        text = pd.read_csv(source, dtype=str, keep_default_na=False)
        typed = text.copy()
        bad = pd.Series(False, index=text.index)
        for name, (low, high) in LIMITS.items():
            typed[name] = pd.to_numeric(text[name], errors="coerce")
            bad |= typed[name].isna() & (text[name] != "")
            bad |= typed[name] < low
            if high is not None:
                bad |= typed[name] > high
        stamp = text["recorded_at"]
        typed["recorded_at"] = pd.to_datetime(
            stamp, format="%Y-%m-%dT%H:%M:%SZ", errors="coerce", utc=True
        )
        bad |= typed["recorded_at"].isna()
        bad |= ~text["alarm"].isin(["true", "false", ""])
        typed["alarm"] = text["alarm"].map({"true": True, "false": False})
        key = ["device_id", "epoch", "seq"]
        for name in ("event_id", *key):
            bad |= text[name] == ""
        bad |= typed[~bad].duplicated(key).reindex(text.index, fill_value=False)
        with tempfile.TemporaryDirectory() as folder:
            typed[~bad].to_parquet(f"{folder}/good.parquet", compression="zstd")
            text[bad].to_json(f"{folder}/bad.ndjson.gz", orient="records", lines=True)
        return {"rows_accepted": int((~bad).sum()), "rows_quarantined": int(bad.sum())}

    return measured(check)


# --- Loading -------------------------------------------------------------------------------------


def load(objects: str, name: str, generation: str) -> Said:
    """Staged rows into a Postgres of its own: bare COPY of ready CSV into a table without keys,
    then load, first publish, and a publish that replaces every row; wall seconds of each."""
    import psycopg
    import pyarrow.parquet as pq

    from eventpulse.adapters.copy_postgres import convert_batches
    from eventpulse.adapters.objects_file import FileObjectStore
    from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
    from eventpulse.adapters.warehouse_values import history_columns
    from eventpulse.odcs import read_contract
    from eventpulse.ports import Activation, ObjectRef
    from tests.postgres_server import PostgresServer

    store = FileObjectStore(f"file://{objects}", sign_key=b"bench", upload_url="")
    table = read_contract(CONTRACT.read_text(), CONTRACT.name).table()
    ref = ObjectRef("staged", name, int(generation))
    with store.open(ref) as stream:
        path = Path(tempfile.mkdtemp(), "rows.parquet")
        path.write_bytes(stream.read())
    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        first = next(file.iter_batches(1, columns=["_ingestion_id"]))
        ingestion = first.column(0)[0].as_py()
        blocks = [
            bytes(memoryview(text)) for _, text in convert_batches(file, history_columns(table))
        ]
    server = PostgresServer()
    try:
        with server.database() as url:
            warehouse = PostgresWarehouse(url, store)
            warehouse.ensure_tables(table)
            with psycopg.connect(url) as connection:
                connection.execute("CREATE TABLE bare (LIKE history.rows_edge_telemetry)")
                connection.commit()

                def copy() -> None:
                    with connection.cursor().copy("COPY bare FROM STDIN (FORMAT csv)") as into:
                        for block in blocks:
                            into.write(block)
                    connection.commit()

                bare = measured(copy)["wall"]
            stamp = datetime(2026, 1, 1, tzinfo=UTC)
            again = stamp + timedelta(days=1)
            loaded = measured(lambda: warehouse.load_rows(table, [ref], "job-1") and None)
            publish = [
                measured(
                    lambda at=at, fence=fence: (
                        warehouse.publish(
                            table, [Activation(ingestion, "1.0.0", at, rows)], fence=fence
                        )
                        and None
                    )
                )["wall"]
                for fence, at in enumerate((stamp, again), start=1)
            ]
            warehouse.close()
    finally:
        server.stop()
    first_publish, replacing = publish
    return {
        **loaded,
        "rows": rows,
        "copy": bare,
        "first_publish": first_publish,
        "replacing_publish": replacing,
    }


def main() -> None:
    name, *arguments = sys.argv[1:]
    runs: dict[str, Callable[..., Said]] = {
        each.__name__: each
        for each in (validate, stages, draft, polars, duckdb, pyarrow, pandas, openpyxl, load)
    }
    try:
        said = runs[name](*arguments)
    except ModuleNotFoundError as error:
        said = {"skipped": f"{error.name} is not installed (uv sync --group bench)"}
    said["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(said))


if __name__ == "__main__":
    main()
