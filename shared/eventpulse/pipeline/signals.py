"""What operators are alerted by: log lines that a deployment's metrics count.

Each line has the field `signal`, and the fields that its function names. A signal tells of
something once it is committed; an attempt that dies in between tells nothing, so alerts rest on
shares and on the oldest that waits, never on the exact number of lines. Values of rows are in none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ports import Json
from eventpulse.values import format_time, parse_time

logger = logging.getLogger(__name__)

Signal = Literal["ingestion.ended", "dataset.late", "device.alert", "swept"]


def report_end(ingestion: Ingestion) -> None:
    """An ingestion has come to an end: its state, why, how long it took, and its rows."""
    seconds = (parse_time(ingestion.updated_at) - parse_time(ingestion.received_at)).total_seconds()
    _report(
        "ingestion.ended",
        f"ingestion {ingestion.id} is {ingestion.state}",
        logging.ERROR if ingestion.state == "failed" else logging.INFO,
        ingestion=ingestion.id,
        dataset=ingestion.dataset or "",
        state=ingestion.state,
        reason=ingestion.reason or "",
        seconds=round(seconds, 3),
        rows_read=ingestion.rows_read or 0,
        rows_quarantined=(ingestion.rows_quarantined or 0) + (ingestion.rows_duplicate or 0),
    )


def report_late(dataset: str, loaded_at: datetime, now: datetime, due: datetime) -> None:
    """A dataset should have been loaded by `due`, by its contract's `frequency` and `latency`."""
    waited = (now - loaded_at).total_seconds()
    _report(
        "dataset.late",
        f"{dataset} was last loaded {waited:.0f} s ago and was due at {format_time(due)}",
        logging.WARNING,
        dataset=dataset,
        seconds=round(waited, 3),
    )


def report_alert(alert: Mapping[str, Json]) -> None:
    """An alert of a device was opened: `rule` says which, `offline` above all."""
    _report(
        "device.alert",
        f"{alert['device']}: {alert['rule']}: {alert['detail']}",
        logging.WARNING,
        device=alert["device"],
        rule=alert["rule"],
    )


def report_sweep(counts: dict[str, int], oldest_waiting: float) -> None:
    """A sweep has ended: what it found, and for how many seconds the oldest ingestion waits."""
    _report("swept", "swept", logging.INFO, **counts, oldest_waiting_seconds=oldest_waiting)


def _report(signal: Signal, message: str, level: int, **fields: object) -> None:
    logger.log(level, message, extra={"fields": {"signal": signal, **fields}})
