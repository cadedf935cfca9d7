"""What a thousand small files cost in the Google lane: calls counted, prices of infra/prices.toml.

The emulators count calls, not money: seconds are those of this machine's processor, each call's
rounded up to Cloud Run's 100 ms, and a query is billed its least, 10 MiB of each table that a
statement reads, which is what small tables cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emulators.stack import GoogleStack
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from infra.cost import LEAST_READ_TIB, Prices, read_table
from tests.bench.figures import Figure
from tests.billing import BilledLane, open_billed_lane
from tests.lanes.sales import sales_contract, write_sales

FILES = 10
ROWS = 100
MART = "-- materialize: table\nSELECT name, COUNT(*) AS n FROM curated.sales GROUP BY name"
ROUNDED_SECONDS = 0.1
MEMORY_GIB = 1.0
EVENT_TIB = 2 * 1e3 / (1 << 40)
"""A finalize event, published and delivered."""
PRICED = {
    "invocations": "run.requests",
    "storage_class_a": "storage.class_a",
    "storage_class_b": "storage.class_b",
    "firestore_reads": "firestore.reads",
    "firestore_writes": "firestore.writes",
    "tasks_operations": "tasks.operations",
}


@dataclass(frozen=True)
class FileCost:
    """What one file takes: units as Google bills them, and seconds of processor."""

    units: Mapping[str, float]
    cpu_seconds: float
    billed_seconds: float


def bench_costs(folder: Path) -> list[Figure]:
    """Dollars of 1,000 files of 100 rows with one mart, each loaded alone, and what for."""
    with GoogleStack(folder / "google") as stack, open_billed_lane(stack) as lane:
        cost = count_file(lane)
    table = Prices(read_table("prices.toml"))
    priced = {unit: (name, cost.units[unit]) for unit, name in PRICED.items()}
    priced |= {
        "processor": ("run.cpu", cost.billed_seconds),
        "memory": ("run.memory", cost.billed_seconds * MEMORY_GIB),
        "queries": ("bigquery.query", cost.units["bigquery_tables"] * LEAST_READ_TIB),
        "events": ("pubsub.throughput", EVENT_TIB),
    }
    items = {what: table.item(what, *each) for what, each in priced.items()}
    dollars = {what: 1_000 * each.dollars for what, each in items.items()}
    known = min(row["date"] for group in table.rows.values() for row in group.values())
    return [
        Figure("costs", f"1,000 files of {ROWS} rows", sum(dollars.values()), "$", note=f"{known}"),
        *(
            Figure("costs", f"of which {what}", each, "$", note=f"{priced[what][1]:.3g} a file")
            for what, each in sorted(dollars.items(), key=lambda pair: -pair[1])
        ),
        Figure("costs", "processor, a file", cost.cpu_seconds, "s"),
        Figure("costs", "BigQuery jobs, a file", cost.units["bigquery_jobs"], "calls"),
    ]


def count_file(lane: BilledLane) -> FileCost:
    """The mean of `FILES` files after the one that makes the tables."""
    publish_contract(lane.platform, sales_contract("sales"), "sales")
    publish_mart(lane.platform, "sales_by_name", MART)
    for number in range(FILES + 1):
        if number == 1:
            lane.calls.clear()
            lane.cpu_seconds.clear()
        rows = [(number * ROWS + each, "a", each, "2026-01-01") for each in range(ROWS)]
        dropped = lane.drop(f"sales/{number}.csv", write_sales(rows))
        assert dropped.state == "loaded", dropped.detail
    cpu = {step: seconds / FILES for step, seconds in lane.cpu_seconds.items()}
    billed = sum(math.ceil(each / ROUNDED_SECONDS) * ROUNDED_SECONDS for each in cpu.values())
    units = {unit: count / FILES for unit, count in lane.calls.of("").items()}
    return FileCost(units, sum(cpu.values()), billed)
