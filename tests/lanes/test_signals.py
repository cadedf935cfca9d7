"""What the use cases tell operators' metrics, read as a metric reads it: fields of log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventpulse.fleet.alerts import Finding
from eventpulse.logs import JsonFormatter
from eventpulse.pipeline.fleet.state import apply_findings
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.sweep import sweep
from eventpulse.platform import Platform
from eventpulse.wiring import WiredPlatform
from tests.inline import InlineLane, inline_lane
from tests.lanes.sales import sales_contract, write_sales

SERVICE_LEVEL = """
slaProperties:
  - property: frequency
    value: 1
    unit: d
  - property: latency
    value: 2
    unit: h
"""


class Lines(logging.Handler):
    """Keeps the log as the deployment writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(json.loads(self.format(record)))

    def of(self, signal: str) -> list[dict[str, Any]]:
        return [line for line in self.kept if line.get("signal") == signal]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("eventpulse")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as inline:
        publish_contract(inline.platform, sales_contract("sales") + SERVICE_LEVEL, "sales")
        yield inline


def later(lane: InlineLane, by: timedelta) -> Platform:
    ports = lane.platform
    return WiredPlatform(
        ports.settings,
        objects=ports.objects,
        log=ports.log,
        warehouse=ports.warehouse,
        tasks=ports.tasks,
        clock=lambda: datetime.now(UTC) + by,
    )


def test_each_end_is_told_once_with_its_rows(lane: InlineLane, lines: Lines) -> None:
    content = write_sales([(1, "a", 1, ""), (2, "b", -1, "")])
    loaded = lane.drop("sales/a.csv", content)
    rejected = lane.drop("unknown/a.csv", content)

    told = {line["ingestion"]: line for line in lines.of("ingestion.ended")}

    assert len(told) == len(lines.of("ingestion.ended")) == 2
    assert told[rejected.id]["state"] == "rejected"
    assert told[rejected.id]["reason"] == "no_contract"
    line = told[loaded.id]
    assert (line["state"], line["dataset"], line["severity"]) == ("loaded", "sales", "INFO")
    assert line["rows_read"] == loaded.rows_read
    assert line["rows_quarantined"] == loaded.rows_quarantined
    assert line["seconds"] >= 0


def test_a_failed_ingestion_is_told_as_an_error(lane: InlineLane, lines: Lines) -> None:
    stored = lane.put("sales/a.csv", write_sales([(1, "a", 1, "")]))
    lane.announce(stored)
    lane.platform.objects.open = refuse_to_open  # type: ignore[method-assign]
    lane.run(tolerate=OSError)

    (line,) = lines.of("ingestion.ended")

    assert (line["state"], line["severity"]) == ("failed", "ERROR")


def refuse_to_open(*_: object) -> Any:
    raise OSError("made to fail")


def test_a_dataset_is_late_once_frequency_and_latency_have_passed(
    lane: InlineLane, lines: Lines
) -> None:
    lane.drop("sales/a.csv", write_sales([(1, "a", 1, "")]))
    sweep(later(lane, timedelta(hours=25)))
    assert lines.of("dataset.late") == []

    sweep(later(lane, timedelta(hours=27)))

    (line,) = lines.of("dataset.late")
    assert (line["dataset"], line["severity"]) == ("sales", "WARNING")
    assert 27 * 3600 - 60 < line["seconds"] < 27 * 3600 + 60


def test_sweep_tells_how_long_the_oldest_has_waited(lane: InlineLane, lines: Lines) -> None:
    sweep(lane.platform)
    lane.announce(lane.put("sales/a.csv", write_sales([(1, "a", 1, "")])))

    sweep(later(lane, timedelta(hours=2)))

    idle, waiting = lines.of("swept")
    assert idle["oldest_waiting_seconds"] == 0
    assert 7200 <= waiting["oldest_waiting_seconds"] < 7260
    assert waiting["faults"] == 0


def test_an_alert_of_a_device_is_told_when_it_opens(lane: InlineLane, lines: Lines) -> None:
    for finding in (Finding("offline", "silent for 20 min"), Finding("offline")):
        for _ in range(2):
            changes = Changes(lane.platform)
            apply_findings(changes, "station-1", [finding])
            assert changes.commit()

    (line,) = lines.of("device.alert")

    assert (line["device"], line["rule"], line["severity"]) == ("station-1", "offline", "WARNING")
