"""What the command line prints for people: tables and lines, made from the API's answers.

The reader may be a supplier who has never seen the code: what was refused comes with its record,
column, value and reason, and with what to do next. Text from files is shown as text: a terminal
never gets its control characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from eventpulse.errors import EventPulseError, RequestRefused

Answer = Mapping[str, Any]

MARKS: Mapping[str, tuple[str, str]] = {
    "loaded": ("✓", "green"),
    "duplicate": ("=", "cyan"),
    "retracted": ("-", "cyan"),
    "rejected": ("✗", "red"),
    "failed": ("✗", "red"),
}
ROWS = ("read", "accepted", "quarantined", "duplicate", "current", "superseded")


def make_console(*, stderr: bool = False) -> Console:
    """Output that is not read in a terminal is not cut to a terminal's width."""
    console = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = 200
    return console


def plain(text: str) -> str:
    """Text whose control characters are written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def name_state(ingestion: Answer) -> Text:
    reason = f" ({ingestion['reason']})" if ingestion["reason"] else ""
    return Text(f"{ingestion['state']}{reason}", MARKS.get(ingestion["state"], ("", ""))[1])


# --- Ingestions ----------------------------------------------------------------------------------


def show_outcome(console: Console, ingestion: Answer) -> None:
    """One file's end, in a few lines."""
    mark, style = MARKS.get(ingestion["state"], ("…", "yellow"))
    line = Text(f"{mark} ", style).append(plain(ingestion["object"]), "bold").append(": ")
    console.print(line.append(name_state(ingestion)))
    if ingestion["detail"] and ingestion["state"] not in ("loaded", "retracted"):
        console.print(Text(f"  {plain(ingestion['detail'])}"))
    if ingestion["rows_read"]:
        console.print(Text(f"  rows: {count_rows(ingestion)}"))
    if ingestion["replaced_by"]:
        console.print(Text(f"  replaced by {ingestion['replaced_by']}"))
    console.print(Text(f"  id: {ingestion['id']}", "dim"))


def count_rows(ingestion: Answer) -> str:
    known = [(word, ingestion[f"rows_{word}"]) for word in ROWS]
    return ", ".join(f"{number:,} {word}" for word, number in known if number is not None)


def show_refused(console: Console, ingestion: Answer, page: Answer) -> None:
    """The first refused rows, one line per reason, and how to get the others."""
    if not page["rows"]:
        return
    table = make_table("record", "column", "value", "what is wrong")
    for row in page["rows"]:
        for failure in row["failures"]:
            cells = (failure["column"], failure["value"] or "", failure["message"])
            table.add_row(str(row["record"]), *map(plain, cells))
    console.print(table)
    if page["next_cursor"] is not None:
        refused = ingestion["rows_quarantined"] + ingestion["rows_duplicate"]
        short = ingestion["id"][:8]
        text = f"  {len(page['rows'])} of {refused:,} refused rows; all of them: "
        console.print(Text(f"{text}eventpulse quarantine {short} --csv"))


def show_ingestions(console: Console, page: Answer) -> None:
    numbers = ("read", "accepted", "refused", "current", "took")
    table = make_table("id", "object", "dataset", "state", *numbers, "received", right=numbers)
    for each in page["ingestions"]:
        refused = add_known(each["rows_quarantined"], each["rows_duplicate"])
        shown = (each["rows_read"], each["rows_accepted"], refused, each["rows_current"])
        table.add_row(
            each["id"][:8],
            plain(shorten(each["object"])),
            each["dataset"] or "",
            name_state(each),
            *("" if number is None else f"{number:,}" for number in shown),
            "" if each["seconds"] is None else f"{each['seconds']:,.1f} s",
            each["received_at"][:19].replace("T", " "),
        )
    console.print(table if page["ingestions"] else "No ingestions.")
    if page["next_cursor"] is not None:
        console.print(Text(f"  more: --cursor {page['next_cursor']}", "dim"))


def shorten(name: str, most: int = 64) -> str:
    """A long name without its middle: folders and the format stand at its ends."""
    return name if len(name) <= most else f"{name[: most - 12]}…{name[-11:]}"


def add_known(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def show_ingestion(console: Console, ingestion: Answer, timeline: Answer) -> None:
    show_outcome(console, ingestion)
    table = Table(box=None, show_header=False, pad_edge=True)
    for name in SHOWN_FIELDS:
        if ingestion[name] is not None:
            table.add_row(Text(name, "dim"), plain(str(ingestion[name])))
    console.print(table)
    events = make_table("at", "event", "what", "request")
    for event in timeline["events"]:
        cause = event["cause"]
        events.add_row(
            event["at"][11:23], event["type"], plain(tell_event(event)), cause.get("request_id", "")
        )
    console.print(events)


SHOWN_FIELDS = (
    "dataset",
    "contract_version",
    "duplicate_of",
    "replay_of",
    "replaced_by",
    "failed_step",
    "received_at",
    "finished_at",
    "seconds",
    "quality_uri",
    "drift_uri",
    "lineage_uri",
    "quarantine_uri",
)


def tell_event(event: Answer) -> str:
    """The part of an event's data that a person wants first."""
    data = event["data"]
    if "step" in data:
        words = [str(data["step"]), f"attempt {data['attempt']}" if "attempt" in data else ""]
        return " ".join(filter(None, [*words, str(data.get("problem", ""))]))
    counted = [f"{data[f'rows_{word}']:,} {word}" for word in ROWS if f"rows_{word}" in data]
    told = data.get("detail") or data.get("by") or data.get("because")
    return str(told) if told else ", ".join(counted)


# --- Datasets, contracts, verification -----------------------------------------------------------


def show_datasets(console: Console, answer: Answer) -> None:
    table = make_table("dataset", "contract", "rows", "loads", "last load", right=("rows", "loads"))
    for each in answer["datasets"]:
        table.add_row(
            each["name"],
            each["contract_version"] or "none",
            "unknown" if each["rows"] is None else f"{each['rows']:,}",
            str(each["loads"]),
            "loading" if each["loading"] else (each["loaded_at"] or "")[:19].replace("T", " "),
        )
    console.print(table if answer["datasets"] else "No datasets.")


def show_verification(console: Console, answer: Answer) -> None:
    name, count = answer["dataset"], answer["ingestions"]
    if answer["equal"]:
        text = f"✓ {name}: the table is what its raw objects make it ({answer['rows']:,} rows)"
        console.print(Text(text, "green"))
    elif answer["state"] == "running":
        console.print(f"… {name}: {answer['position']:,} of {count or 'some'} ingestions rebuilt")
        console.print(f"  follow it: eventpulse dataset verification {answer['id']}")
        return
    elif answer["state"] == "failed":
        console.print(Text(f"✗ {name}: the verification failed", "red"))
        console.print(f"  {plain(answer['detail'])}")
        return
    else:
        text = f"✗ {name}: the table is NOT what its raw objects make it"
        console.print(Text(text, "red"))
        console.print(f"  rows: {answer['rows']:,}, rebuilt: {answer['rebuilt_rows']:,}")
        console.print(f"  ingestions whose rows are not what they must be: {answer['differing']:,}")
        show_rows(console, answer["differences"], ("ingestion", "rows", "rebuilt_rows"), indent=2)
    console.print(Text(f"  digest:  {answer['digest']}", "dim"))
    console.print(Text(f"  rebuilt: {answer['rebuilt_digest']} (from {count} ingestions)", "dim"))


def show_problems(console: Console, source: str, problems: Iterable[str]) -> None:
    listed = list(problems)
    if not listed:
        console.print(Text(f"✓ {source}", "green"))
        return
    console.print(Text(f"✗ {source}", "red"))
    for problem in listed:
        console.print(Text(f"  - {plain(str(problem))}"))


def show_published(console: Console, name: str, *, changed: bool) -> None:
    what = "published" if changed else "was published before"
    console.print(Text(f"✓ {name} {what}", "green"))


# --- Anything ------------------------------------------------------------------------------------


def show_rows(
    console: Console, rows: Iterable[Answer], columns: Iterable[str], *, indent: int = 0
) -> None:
    """Rows of what the API counts and names, as a table of these columns."""
    _show_table(console, rows, columns, show_value, indent)


def show_data(console: Console, rows: Iterable[Answer], columns: Iterable[str]) -> None:
    """Rows of somebody's data: each value as it stands, nothing rounded or divided."""
    _show_table(console, rows, columns, show_cell, 0)


def _show_table(
    console: Console,
    rows: Iterable[Answer],
    columns: Iterable[str],
    show: Callable[[object], str],
    indent: int,
) -> None:
    names = list(columns)
    listed = list(rows)
    if not listed:
        console.print("Nothing to show.")
        return
    numbers = {n for n in names if all(isinstance(r.get(n), (int, float)) for r in listed)}
    table = make_table(*names, right=numbers)
    for row in listed:
        table.add_row(*(plain(show(row.get(name))) for name in names))
    console.print(Padding(table, (0, 0, 0, indent)))


def show_fields(console: Console, answer: Answer, indent: int = 0) -> None:
    """The fields of an answer, one a line; below their name what has fields of its own, a list of
    such as a table, and text of several lines."""
    for name, value in answer.items():
        pad, inner = " " * indent, indent + 2
        if not (_is_nested(value) or (isinstance(value, str) and "\n" in value)):
            shown = show_cell(value) if name in _NOT_COUNTS else show_value(value)
            console.print(Text(f"{pad}{name}: ", "dim").append(plain(shown), ""), soft_wrap=True)
            continue
        console.print(Text(f"{pad}{name}", "dim"))
        if isinstance(value, str):
            for line in value.splitlines():
                console.print(Text(f"{' ' * inner}{plain(line)}"), soft_wrap=True)
        elif isinstance(value, Mapping):
            show_fields(console, value, inner)
        else:
            show_rows(console, value, _name_columns(value), indent=inner)


_NOT_COUNTS = frozenset({"generation"})


def _is_nested(value: object) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping) and bool(value)


def _name_columns(rows: Iterable[Answer]) -> list[str]:
    """The fields that say something in at least one of the rows."""
    said = {name: True for row in rows for name, value in row.items() if value not in (None, "")}
    return list(said)


def show_cell(value: object) -> str:
    """A value of data as it stands; nothing for null."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def show_value(value: object) -> str:
    """A value as people read it: nothing for null, thousands divided, JSON for what is nested."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return show_number(value)
    if isinstance(value, list) and not _is_nested(value):
        return ", ".join(map(show_value, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def show_number(value: float) -> str:
    """Thousands divided; of a fraction, what two places or two digits say."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


# --- Errors --------------------------------------------------------------------------------------


def show_error(console: Console, error: EventPulseError) -> None:
    """Title, detail, every problem that is named, and the request id to ask for."""
    fields = error.fields
    title = error.title if isinstance(error, RequestRefused) else "EventPulse cannot be reached"
    console.print(Text(f"✗ {title}", "red"))
    problems = fields.get("problems")
    if isinstance(problems, list) and problems:
        for problem in problems:
            console.print(Text(f"  - {plain(str(problem))}"))
    else:
        console.print(Text(f"  {plain(error.message)}"))
    if fields.get("request_id"):
        console.print(Text(f"  request id: {fields['request_id']}", "dim"))


def make_table(*columns: str, right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=True, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table
