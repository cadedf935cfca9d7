"""The demo's tables: rich renderables of what the API answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventpulse.ingestions.ingestion import Ingestion

Answer = Mapping[str, Any]

_STYLES = {
    "loaded": "green",
    "duplicate": "cyan",
    "rejected": "yellow",
    "failed": "bold red",
    "retracted": "dim",
}
_COUNTS = ("read", "accepted", "quarantined", "duplicate", "current", "superseded")
_COUNT_HEADERS = (
    "rows\nread",
    "accep-\nted",
    "quaran-\ntined",
    "dupli-\ncate",
    "cur-\nrent",
    "super-\nseded",
    "\nseconds",
)


def show_progress(
    rows: Sequence[tuple[str, str, Ingestion | None]], width: int | None = None
) -> Table:
    """What each upload has come to by now: (scenario, object, its ingestion if it has landed)."""
    table = Table("scenario", "file", "state", "rows read", box=None, width=width)
    for scenario, name, ingestion in rows:
        state = style_state(ingestion.state, ingestion.reason) if ingestion else Text("uploaded")
        read = ingestion.rows_read if ingestion else None
        table.add_row(scenario, name, state, "" if read is None else f"{read:,}")
    return table


def show_ingestions(ingestions: Sequence[Answer]) -> Table:
    """One row per ingestion; its counts are as its table stands now."""
    table = _make_table("Ingestions")
    table.add_column("file\n[dim]dataset", overflow="fold", min_width=24)
    table.add_column("state\nreason", overflow="fold")
    for header in _COUNT_HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for each in ingestions:
        counts = [each[f"rows_{name}"] for name in _COUNTS]
        seconds = each["seconds"]
        file = Text(each["object"] + (" (replay)" if each["replay_of"] else ""))
        state = style_state(each["state"])
        table.add_row(
            file.append(f"\n{each['dataset'] or 'none'}", "dim"),
            state.append(f"\n{each['reason']}") if each["reason"] else state,
            *("" if count is None else f"{count:,}" for count in counts),
            "" if seconds is None else f"{seconds:.2f}",
        )
    return table


def show_refusals(rejected: Sequence[Answer], refused: Sequence[tuple[str, Answer]]) -> Table:
    """Why files were rejected, and why a few rows of others were: (file, quarantine record)."""
    table = _make_table("Refused, and why")
    for header in ("file", "row", "column", "why"):
        table.add_column(header, overflow="fold")
    for each in rejected:
        table.add_row(each["object"], "all", "", each["detail"] or "")
    for name, record in refused:
        for failure in record["failures"]:
            table.add_row(name, str(record["record"]), failure["column"], failure["message"])
    return table


def show_mart(mart: Answer, columns: int = 7) -> Table:
    """A mart and a few of its rows, its first columns only."""
    shown = mart["columns"][:columns]
    more = len(mart["columns"]) - len(shown)
    about = f"{mart['rows'] or 0:,} rows" + (f", {more} more columns" if more else "")
    table = _make_table(f"{mart['name']} ({about}): {mart['description']}")
    for column in shown:
        table.add_column(column, overflow="fold")
    for row in mart["preview"]:
        table.add_row(*(_show_value(row[column]) for column in shown))
    return table


def _show_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value).replace("00:00.000000Z", "00Z")


def _make_table(title: str) -> Table:
    """A table without lines, which leaves the room to what it says."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def show_digests(digests: Mapping[str, str], rows: Mapping[str, int | None]) -> Table:
    """The digest of each curated table: the same rows give the same one, in every lane."""
    table = _make_table("Curated tables")
    for header in ("table", "rows", "digest"):
        table.add_column(header, overflow="fold")
    for dataset, digest in digests.items():
        count = rows.get(dataset)
        table.add_row(dataset, "" if count is None else f"{count:,}", digest)
    return table


def style_state(state: str, reason: str | None = None) -> Text:
    """A state in its colour, with its reason if there is one."""
    return Text(f"{state}: {reason}" if reason else state, style=_STYLES.get(state, ""))
