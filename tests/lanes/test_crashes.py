"""SIGKILL of the function's process before and after each of its effects, then a restart.

The functions run as `eventpulse up` runs them. Every effect of an ingestion, from its landing to
its mart, is a failpoint; each is armed once, over a fresh dataset, and what stands at the end must
equal an undisturbed run: digest, counts, timeline, and balanced books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventpulse.ingestions.ingestion import fold_events, query_ingestions
from eventpulse.local.stack import Stack
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import load_contract, publish_contract
from eventpulse.ports import Json
from eventpulse.rows.digest import table_digest
from tests.lanes.sales import sales_contract, write_sales
from tests.waiting import wait_until

OLDER = write_sales([(i, f"n{i}", i, "2026-01-01") for i in range(40)])
NEWER = (
    write_sales([(i, f"n{i}", i * 10, "2026-02-01") for i in range(20, 60)])
    + b"20,again,1,2026-02-01\n"
    + b"99,bad,many,2026-02-01\n"
)
MART = """-- description: Sales by name.
-- materialize: table
SELECT name, SUM(amount) AS amount FROM curated.{dataset} GROUP BY name
"""


NEVER = 1e6
"""Sweep has no part in this: the queue's own retries must be enough, and every round's effects must
be the same ones."""


class CrashLane:
    """A running stack whose functions trace their effects in `points`, and may be made to die."""

    def __init__(self, stack: Stack, points: Path) -> None:
        self.stack = stack
        self.platform = stack.platform
        self._points = points
        self._rounds = 0

    def run_round(self, point: str | None, number: int = 1) -> dict[str, Any]:
        """Ingest two files into a fresh dataset, dying at `point` during the second."""
        self._rounds += 1
        dataset = f"round_{self._rounds}"
        publish_contract(self.platform, sales_contract(dataset), dataset)
        publish_mart(self.platform, f"by_name_{self._rounds}", MART.format(dataset=dataset))
        self._drop(f"{dataset}/older.csv", OLDER)
        self._wait_for_loads(dataset, 1)
        (self._points / "trace").write_text("")
        armed = self._points / "armed"
        if point is not None:
            armed.write_text(f"{point} {number}")
        self._drop(f"{dataset}/newer.csv", NEWER)
        self._wait_for_loads(dataset, 2)
        if point is not None:
            wait_until(lambda: not armed.exists(), f"{point} #{number} was never reached")
        return self._describe(dataset)

    def trace(self) -> Counter[str]:
        return Counter((self._points / "trace").read_text().splitlines())

    def _drop(self, name: str, content: bytes) -> None:
        with self.platform.objects.write("raw", name) as sink:
            sink.write(content)

    def _wait_for_loads(self, dataset: str, loads: int) -> None:
        """Until the mart was built from so many loads: the last of an ingestion's effects."""
        mart = f"mart/by_name_{self._rounds}"

        def built() -> bool:
            versions = self.platform.log.head(mart).projection.get("built_versions")
            return isinstance(versions, dict) and versions.get(dataset) == loads

        wait_until(built, f"{dataset} was not loaded {loads} times and its mart built")

    def _describe(self, dataset: str) -> dict[str, Any]:
        """What must not depend on where the process died."""
        columns = load_contract(self.platform, dataset, None).table().columns
        table = self.platform.warehouse.read_table("curated", dataset, columns)
        page = self.platform.log.query(query_ingestions(dataset=dataset), limit=10)
        counts = [self._counts(head.projection) for head in page.heads]
        for head in page.heads:
            folded = fold_events(self.platform.log.read(head.stream))
            assert folded is not None
            assert folded.model_dump(mode="json") == head.projection
        mart = self.platform.warehouse.count_rows("marts", f"by_name_{self._rounds}")
        return {"digest": table_digest(table, columns), "counts": counts, "mart": mart}

    def _counts(self, projection: dict[str, Json] | Any) -> dict[str, Json]:
        names = ("read", "accepted", "quarantined", "duplicate", "current", "superseded")
        rows = {name: projection[f"rows_{name}"] for name in names}
        assert rows["read"] == rows["accepted"] + rows["quarantined"] + rows["duplicate"]
        assert rows["accepted"] == rows["current"] + rows["superseded"]
        file = projection["object"].rpartition("/")[2]
        return {"file": file, "state": projection["state"], **rows}


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrashLane]:
    folder = tmp_path_factory.mktemp("crashes")
    points = folder / "points"
    points.mkdir()
    variables = {"EVENTPULSE_FAILPOINTS": str(points)}
    with Stack(folder / "home", variables=variables, sweep_seconds=NEVER, workers=1) as stack:
        yield CrashLane(stack, points)


def test_a_kill_at_any_effect_changes_nothing(lane: CrashLane) -> None:
    undisturbed = lane.run_round(None)
    points = lane.trace()
    assert {point.split(" ")[1] for point in points} >= {
        "log.commit",
        "objects.write",
        "tasks.enqueue",
        "warehouse.load_rows",
        "warehouse.publish",
        "warehouse.replace_table",
    }
    for point, times in points.items():
        for number in range(1, times + 1):
            assert lane.run_round(point, number) == undisturbed, f"killed {point} #{number}"
