"""What an ingestion or a mart's build left, as people read it: what failed comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from eventpulse.cli.rendering import (
    MARKS,
    Answer,
    make_table,
    plain,
    show_data,
    show_fields,
    show_number,
)

_OUTCOMES = {**MARKS, "accepted": MARKS["loaded"], "passed": MARKS["loaded"]}
_MOST_SAMPLES = 3


def show_quality(console: Console, report: Answer) -> None:
    """A quality report: its outcome, the rules that rows broke, the rules over the whole file, and
    a profile of each column."""
    _show_outcome(console, report)
    if "balance" in report:
        counted = (f"{count:,} {name[5:]}" for name, count in report["balance"].items())
        console.print(Text(f"  rows: {', '.join(counted)}"))
        share, most = map(show_number, (report["invalid_percent"], report["max_invalid_percent"]))
        console.print(Text(f"  refused: {share}%, at most {most}% may be"))
    else:
        console.print(Text(f"  rows: {report['rows']:,}"))
    _show_row_rules(console, report["rules"])
    _show_dataset_rules(console, report["dataset_rules"])
    if report.get("columns"):
        _show_profiles(console, report["columns"])


def show_drift(console: Console, verdict: Answer) -> None:
    """A drift verdict: its outcome, each change with what it does, and what can be done."""
    _show_outcome(console, verdict)
    if verdict["changes"]:
        table = make_table("change", "column", "expected", "seen", "what follows")
        for each in verdict["changes"]:
            told = (each["kind"], each["column"], each["expected"], each["observed"])
            table.add_row(*(plain(str(cell or "")) for cell in told), plain(each["effect"]))
        console.print(table)
    if verdict["proposal"]:
        short = verdict["proposal"][:8]
        console.print(Text(f"  a contract that fits it: eventpulse proposals {short}"))
    if verdict["observed"]:
        table = make_table("column", "seen as")
        for name, seen in verdict["observed"].items():
            table.add_row(plain(name), seen)
        console.print(table)


def show_mart(console: Console, mart: Answer) -> None:
    """A mart's state and SQL, then a few of its rows."""
    show_fields(console, {n: v for n, v in mart.items() if n not in ("preview", "columns")})
    show_data(console, mart["preview"], mart["columns"])


def show_events(console: Console, events: Sequence[Answer]) -> None:
    """OpenLineage events, one a line; `--json` has their facets."""
    table = make_table("at", "event", "job", "reads", "writes")
    for each in events:
        sides = ("\n".join(plain(n["name"]) for n in each.get(side, ())) for side in _SIDES)
        table.add_row(each["eventTime"], each["eventType"], plain(each["job"]["name"]), *sides)
    console.print(table)


_SIDES = ("inputs", "outputs")


def _show_outcome(console: Console, report: Answer) -> None:
    mark, style = _OUTCOMES.get(report["outcome"], ("!", "yellow"))
    line = Text(f"{mark} {report['outcome']}", style)
    console.print(line.append(f": {plain(report['message'])}", "default"))


def _show_row_rules(console: Console, rules: Iterable[Answer]) -> None:
    listed = list(rules)
    broken = [each for each in listed if each["failed"]]
    if broken:
        table = make_table(
            "column", "rule", "rows", "share", "what was seen", right=("rows", "share")
        )
        for each in sorted(broken, key=lambda each: -each["failed"]):
            share = f"{show_number(each['share_failed'] * 100)}%" if "share_failed" in each else ""
            told = each.get("message") or " ".join(each.get("remedies", ()))
            seen = told or _name_samples(each.get("samples", ()))
            table.add_row(
                plain(each["column"]), each["rule"], f"{each['failed']:,}", share, plain(seen)
            )
        console.print(table)
    if kept := len(listed) - len(broken):
        console.print(Text(f"  {kept} rules were kept by every row", "dim"))


def _name_samples(samples: Sequence[Answer]) -> str:
    return ", ".join(
        f"{each['value']!r} (record {each['record']})" for each in samples[:_MOST_SAMPLES]
    )


def _show_dataset_rules(console: Console, rules: Sequence[Answer]) -> None:
    if not rules:
        return
    table = make_table("", "rule", "of", "observed", "expected", "")
    for each in sorted(rules, key=lambda each: bool(each["passed"])):
        mark = Text("✓", "green") if each["passed"] else Text("✗", _SEVERITIES[each["severity"]])
        seen = "" if each["observed"] is None else show_number(each["observed"])
        table.add_row(
            mark,
            plain(each["name"]),
            plain(" ".join(each["columns"])),
            f"{seen} {each['unit']}",
            each["expected"],
            plain(each["problem"] or ("" if each["passed"] else each["severity"])),
        )
    console.print(table)


_SEVERITIES = {"error": "red", "warning": "yellow"}


def _show_profiles(console: Console, columns: Iterable[Mapping[str, Any]]) -> None:
    counts = ("empty", "distinct")
    table = make_table("column", "type", *counts, "least", "middle", "most", "often", right=counts)
    for each in columns:
        middle = (each["quantiles"] or {}).get("p50")
        often = ", ".join(str(top["value"]) for top in each["top_values"][:_MOST_SAMPLES])
        about = "~" if each["distinct_estimated"] else ""
        shown = (each["minimum"], middle, each["maximum"], often)
        table.add_row(
            plain(each["name"]),
            each["type"],
            f"{each['nulls']:,}",
            f"{about}{each['distinct']:,}",
            *("" if cell is None else plain(str(cell)) for cell in shown),
        )
    console.print(table)


REPORTS: Mapping[tuple[str, ...], Callable[[Console, Any], None]] = {
    ("report", "quality"): show_quality,
    ("report", "drift"): show_drift,
    ("report", "lineage"): show_events,
    ("mart", "quality"): show_quality,
    ("mart", "show"): show_mart,
}
"""What shows the answer of a command, by its words."""
