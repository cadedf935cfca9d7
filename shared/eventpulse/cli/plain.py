"""Commands that are one request each, as a table: what is asked, and which of it is shown.

With `--json` the API's answer is printed as it is. For people a list is a table of the columns
named here, and anything else its fields, one a line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import quote

from eventpulse.cli.commands import OK, Session
from eventpulse.ingestions.ingestion import Reason

AddCommand = Callable[..., argparse.ArgumentParser]
AddPage = Callable[[argparse.ArgumentParser, int], None]


@dataclass(frozen=True, slots=True)
class Option:
    """An option that goes into the query; `flag` ones are true when they are given, `many` ones may
    be given more than once."""

    name: str
    help: str = ""
    choices: tuple[str, ...] = ()
    flag: bool = False
    many: bool = False
    positional: bool = False
    type: type[Any] = str


@dataclass(frozen=True, slots=True)
class Plain:
    """`words` are the command; `{placeholders}` of the path are its arguments, ingestions by how
    their id begins. `rows` is the answer's member that is a list, shown as `columns`; without them
    it holds somebody's data. A report is shown by its own function (`reports.py`)."""

    words: tuple[str, ...]
    path: str
    summary: str
    example: str
    options: tuple[Option, ...] = ()
    rows: str | None = None
    columns: tuple[str, ...] = ()
    page: int | None = None
    lines: str | None = None


_SINCE = Option("since", "the first day or moment: 2026-01-31, 2026-01-31T12:00:00Z")
_UNTIL = Option("until", "the first moment that is too late")
_DATASET = Option("dataset")
_RECEIVED = (
    _DATASET,
    Option("not-dataset", "leave these out; may be repeated", many=True),
    Option("not-reason", "leave these out; may be repeated", get_args(Reason), many=True),
    _SINCE,
    _UNTIL,
)

COMMANDS: tuple[Plain, ...] = (
    Plain(
        ("counts",),
        "/api/ingestions/counts",
        "count ingestions by state",
        "counts --dataset weather --since 2026-01-01",
        _RECEIVED,
    ),
    Plain(
        ("failures",),
        "/api/ingestions/failures",
        "list what was rejected or failed, by dataset and cause",
        "failures --not-dataset weather --not-reason drift",
        _RECEIVED,
        rows="groups",
        columns=("count", "state", "reason", "failed_step", "dataset", "last_seen", "last_detail"),
    ),
    Plain(
        ("report", "quality"),
        "/api/ingestions/{ingestion}/quality",
        "print an ingestion's quality report",
        "report quality 1f3a9c20 --json",
    ),
    Plain(
        ("report", "drift"),
        "/api/ingestions/{ingestion}/drift",
        "print an ingestion's drift verdict",
        "report drift 1f3a9c20",
    ),
    Plain(
        ("report", "lineage"),
        "/api/ingestions/{ingestion}/lineage",
        "print an ingestion's OpenLineage events",
        "report lineage 1f3a9c20 --json",
    ),
    Plain(
        ("rows",),
        "/api/ingestions/{ingestion}/rows",
        "show the first rows that an ingestion accepted",
        "rows 1f3a9c20 --limit 5",
        (Option("limit", "how many", type=int),),
        rows="rows",
    ),
    Plain(
        ("dataset", "show"),
        "/api/datasets/{dataset}",
        "show a dataset: contract, freshness, runs, schema",
        "dataset show weather",
    ),
    Plain(
        ("dataset", "rows"),
        "/api/datasets/{dataset}/rows",
        "show a few rows of a curated table",
        "dataset rows weather --limit 5",
        (Option("limit", "how many", type=int),),
        rows="rows",
    ),
    Plain(
        ("dataset", "schemas"),
        "/api/datasets/{dataset}/schemas",
        "show the schemas that a dataset accepted and its files had",
        "dataset schemas weather",
        (Option("limit", "how many", type=int),),
        rows="observed",
        columns=("received_at", "object", "outcome", "message"),
    ),
    Plain(
        ("dataset", "digest"),
        "/api/datasets/{dataset}/digest",
        "print the digest of a curated table's rows",
        "dataset digest weather",
    ),
    Plain(
        ("dataset", "verifications"),
        "/api/verifications",
        "list verifications, newest first",
        "dataset verifications --dataset weather",
        (_DATASET, Option("state", choices=("running", "done", "failed"))),
        rows="verifications",
        columns=("id", "dataset", "state", "equal", "rows", "rebuilt_rows", "finished_at"),
        page=50,
    ),
    Plain(
        ("dataset", "verification"),
        "/api/verifications/{verification}",
        "print how far a verification is and what it has found",
        "dataset verification 5b1e9c20-…",
    ),
    Plain(
        ("contract", "changes"),
        "/api/datasets/{dataset}/contract/diff",
        "show what changed in a published contract, line by line",
        "contract changes weather 1.0.0",
        (
            Option("of", "the older version", positional=True),
            Option("to", "the newer one; the current one if not given"),
        ),
        lines="lines",
    ),
    Plain(
        ("mart", "list"),
        "/api/marts",
        "list marts and their state",
        "mart list",
        rows="marts",
        columns=("name", "materialization", "state", "rows", "builds", "built_at", "error"),
    ),
    Plain(
        ("mart", "show"),
        "/api/marts/{mart}",
        "show a mart: SQL, columns, state and a few rows",
        "mart show weather_daily",
        (Option("limit", "how many rows", type=int),),
    ),
    Plain(
        ("mart", "rows"),
        "/api/marts/{mart}/rows",
        "show rows of a mart",
        "mart rows weather_daily --limit 5",
        (Option("limit", "how many", type=int),),
        rows="rows",
    ),
    Plain(
        ("mart", "quality"),
        "/api/marts/{mart}/quality",
        "print what a mart's contract found in its last build",
        "mart quality weather_daily",
    ),
    Plain(
        ("lineage",),
        "/api/lineage",
        "list where tables and columns come from and go to",
        "lineage --node marts.weather_daily --direction upstream",
        (
            Option("node", "a table: curated.weather"),
            Option("column", "one of its columns"),
            Option("direction", choices=("upstream", "downstream", "both")),
            Option("depth", "edges away at most", type=int),
        ),
        rows="edges",
        columns=("source", "source_column", "target", "target_column", "transformation"),
    ),
    Plain(
        ("trends",),
        "/api/trends",
        "show quality, volume, latency and cost day by day",
        "trends --dataset weather --since 2026-01-01",
        (
            _DATASET,
            Option("since", "the first day"),
            Option("until", "the last day"),
            Option("by-dataset", "one line a day and dataset", flag=True),
        ),
        rows="days",
        columns=(
            "day",
            "dataset",
            "ingestions",
            "rows_read",
            "rows_accepted",
            "rows_quarantined",
            "invalid_percent",
            "latency_p50",
            "latency_p95",
            "load_jobs",
            "cost_usd",
        ),
    ),
    Plain(
        ("search",),
        "/api/search",
        "find datasets, marts and ingestions by name or id",
        "search 2013-07",
        (Option("q", "a part of a name, or how an id begins", positional=True),),
        rows="found",
        columns=("kind", "id", "title", "detail"),
    ),
    Plain(
        ("audit",),
        "/api/audit",
        "list who did what, newest first",
        "audit --subject dataset/weather --since 2026-01-01",
        (
            Option("actor", "an e-mail address"),
            Option("subject", "a stream: ingestion/<id>"),
            Option("action", "an operationId of the API"),
            _SINCE,
            _UNTIL,
        ),
        rows="actions",
        columns=("at", "actor", "action", "subject", "state", "status", "request_id"),
        page=50,
    ),
    Plain(
        ("backfill", "list"),
        "/api/backfills",
        "list backfills, newest first",
        "backfill list --state running",
        (_DATASET, Option("state")),
        rows="backfills",
        columns=("id", "dataset", "state", "items", "position", "ended", "requested_by"),
        page=50,
    ),
    Plain(
        ("backfill", "items"),
        "/api/backfills/{backfill}/items",
        "list the files of a backfill's plan",
        "backfill items 5b1e9c20-…",
        rows="items",
        columns=("created", "object", "generation", "action", "state", "ingestion"),
        page=50,
    ),
    Plain(("ready",), "/api/ready", "say whether everything that the stack needs answers", "ready"),
)


def add_plain_commands(groups: Mapping[str, Any], add: AddCommand, add_page: AddPage) -> None:
    """Add the table's commands; `groups` has the subparsers of each first word, and "" the top."""
    for each in COMMANDS:
        *group, word = each.words
        parser = add(groups["".join(group)], word, _make_command(each), each.summary, each.example)
        for name in _placeholders(each.path):
            about = "its id, or how it begins" if name == "ingestion" else None
            parser.add_argument(f"_{name}", metavar=name.upper(), help=about)
        for option in each.options:
            _add_option(parser, option)
        if each.page:
            add_page(parser, each.page)


def _placeholders(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.positional:
        parser.add_argument(option.name, metavar=option.name.upper(), help=option.help or None)
    elif option.flag:
        parser.add_argument(f"--{option.name}", action="store_true", help=option.help or None)
    else:
        parser.add_argument(
            f"--{option.name}",
            action="append" if option.many else "store",
            type=option.type,
            choices=option.choices or None,
            help=option.help or None,
        )


def _make_command(plain: Plain) -> Callable[[Session], int]:
    def run(session: Session) -> int:
        answer = session.client.get(_fill(session, plain), **_query(session, plain))
        session.show(answer, lambda: _render(session, plain, answer))
        return OK

    return run


def _fill(session: Session, plain: Plain) -> str:
    values = {name: getattr(session.given, f"_{name}") for name in _placeholders(plain.path)}
    if "ingestion" in values:
        values["ingestion"] = session.client.resolve_id(values["ingestion"])
    return plain.path.format_map({name: quote(text, safe="") for name, text in values.items()})


def _query(session: Session, plain: Plain) -> dict[str, Any]:
    names = [each.name.replace("-", "_") for each in plain.options]
    names += ["limit", "cursor"] if plain.page else []
    found = {name: getattr(session.given, name) for name in names}
    return {n: "true" if v is True else v for n, v in found.items() if v not in (None, False)}


def _render(session: Session, plain: Plain, answer: Any) -> None:
    from eventpulse.cli.rendering import show_data, show_fields, show_rows
    from eventpulse.cli.reports import REPORTS

    console = session.console
    if show_report := REPORTS.get(plain.words):
        show_report(console, answer)
    elif plain.lines is not None:
        for line in answer[plain.lines]:
            console.print(line, soft_wrap=True)
    elif plain.rows is None:
        show_fields(console, answer)
    elif plain.columns:
        show_rows(console, answer[plain.rows], plain.columns)
    else:
        show_data(console, answer[plain.rows], answer["columns"])
    if plain.rows is not None and answer.get("next_cursor"):
        console.print(f"  more: --cursor {answer['next_cursor']}")
