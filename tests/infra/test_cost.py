"""What usage.toml says of one file is what the functions are seen to do with one."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from eventpulse.operations.costs import estimate_dollars
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform, use_platform
from infra.cost import Load, estimate
from tests.counted import Counted
from tests.fakes import MemoryTaskQueue
from tests.functions.harness import Cloud, open_platform, order, orders_contract, orders_file
from tests.lanes.test_billed_calls import MOST

OF_THE_MART = 1
USAGE = Path(__file__).parents[2] / "infra" / "usage.toml"


def test_a_file_uses_no_more_than_the_table_of_usage_says(
    tmp_path: Path, postgres_url: str
) -> None:
    said = tomllib.loads(USAGE.read_text())["file"]["measured"]
    used: Counter[str] = Counter()
    with open_platform(tmp_path, postgres_url, Settings()) as platform:
        counted = WiredPlatform(
            platform.settings,
            objects=Counted(platform.objects, "objects", used, in_functions=True),  # type: ignore[arg-type]
            log=Counted(platform.log, "log", used, in_functions=True),  # type: ignore[arg-type]
            warehouse=Counted(platform.warehouse, "warehouse", used, in_functions=True),  # type: ignore[arg-type]
            tasks=Counted(platform.tasks, "tasks", used, in_functions=True),  # type: ignore[arg-type]
        )
        assert isinstance(platform.tasks, MemoryTaskQueue)
        with use_platform(counted):
            cloud = Cloud(counted, platform.tasks)
            cloud.publish(orders_contract())
            cloud.ingest("orders/first.csv", orders_file(order(1)))
            used.clear()
            cloud.deliveries.clear()
            cloud.ingest("orders/second.csv", orders_file(order(2)))
            used["invocations"] = 1 + len(cloud.deliveries)
    assert dict(used) == {name: used[name] for name in said}, "an operation that is not priced"
    assert {name: count for name, count in used.items() if count > said[name]} == {}
    assert {name: count for name, count in used.items() if count < said[name] * 0.75} == {}


def test_a_load_reads_as_many_tables_as_the_table_of_usage_says() -> None:
    said = tomllib.loads(USAGE.read_text())["file"]["assumed"]
    assert said["tables_read"] + OF_THE_MART == MOST["bigquery_tables"]


def test_a_days_estimate_is_what_one_more_ingestion_and_gigabyte_add_to_a_month() -> None:
    def margin(more: Load, count: float) -> float:
        (before, after) = (
            {each.what: each.dollars for each in estimate(load, hosting="tokens")}
            for load in (Load(kept_months=0), more)
        )
        added = {what: dollars - before.get(what, 0.0) for what, dollars in after.items()}
        return sum(each for what, each in added.items() if "storage" not in what) / count

    file = margin(Load(files=1e6, kept_months=0), 1e6)
    gigabyte = margin(Load(gigabytes=1e3, kept_months=0), 1e3)
    assert estimate_dollars(1, 0) == pytest.approx(file, rel=0.01)
    assert estimate_dollars(0, 10**9) == pytest.approx(gigabyte, rel=0.01)
