"""What the command line prints of proposals and of versions that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from eventpulse.cli.rendering import make_table, plain, show_outcome

Answer = Mapping[str, Any]

_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_BUMP_STYLES = {"major": "red", "minor": "yellow", "patch": "dim", "none": "green"}


def show_proposal_list(console: Console, page: Answer) -> None:
    if not page["proposals"]:
        console.print("No proposals.")
        return
    table = make_table("id", "kind", "dataset", "state", "waiting", "what it would do")
    for each in page["proposals"]:
        waiting = str(len(each["waiting"]))
        cells = (each["dataset"], each["state"], waiting, each["summary"])
        table.add_row(each["id"][:8], each["kind"], *map(plain, cells))
    console.print(table)
    if page["next_cursor"]:
        console.print(f"More: eventpulse proposals --cursor {page['next_cursor']}")


def show_proposal(console: Console, proposal: Answer) -> None:
    head = f"{proposal['kind']} for {proposal['dataset']}: {proposal['summary']}"
    console.print(Text(plain(head), "bold"))
    console.print(
        f"  {proposal['state']}, seen in {proposal['seen']} files, "
        f"{proposal['still_waiting']} wait for it"
    )
    for change in proposal["evidence"]:
        console.print(Text(f"  {plain(change['seen'])}; {plain(change['effect'])}"))
        known = ", ".join(f"{name} {value}" for name, value in change["evidence"].items())
        if known:
            console.print(Text(f"    because: {plain(known)}", "dim"))
    if proposal["problem"]:
        console.print(Text(f"  {plain(proposal['problem'])}", "red"))
        return
    if proposal["state"] == "open":
        console.print(f"  accepting it registers {proposal['suggested_version']}:")
    show_diff(console, proposal["diff"])


def show_diff(console: Console, diff: str) -> None:
    for line in diff.splitlines():
        console.print(Text(plain(line), _STYLES.get(line[:1], "")))


def show_acceptance(console: Console, accepted: Answer, ended: Sequence[Answer]) -> None:
    dataset, version = accepted["proposal"]["dataset"], accepted["version"]
    console.print(Text(f"✓ {dataset} {version} is registered", "green"))
    show_diff(console, accepted["diff"])
    console.print(f"Bring it into the repository: contracts/{dataset}.odcs.yaml (accept --into).")
    for each in ended:
        show_outcome(console, each)
    if not ended:
        for replayed, replay in accepted["replays"].items():
            console.print(f"  {replayed} is replayed by {replay}")
    for ingestion, reason in accepted["left"].items():
        console.print(Text(f"  {ingestion} is not replayed: {plain(reason)}", "yellow"))
    if accepted["remaining"]:
        again = f"eventpulse accept {accepted['proposal']['id'][:8]}"
        console.print(Text(f"  {accepted['remaining']} still wait; go on with {again}", "yellow"))


def show_decision(console: Console, proposal: Answer) -> None:
    console.print(f"{proposal['id']}: {proposal['state']}")


def show_compatibility(console: Console, found: Answer) -> None:
    title = f"{found['dataset']} {found['old']} → {found['new']}"
    console.print(Text(plain(title), "bold"))
    if not found["differences"]:
        console.print("Nothing differs.")
        return
    table = make_table("where", "what", "backward", "forward", "step", "which means")
    for each in found["differences"]:
        yes = ("yes" if each["backward"] else "no", "yes" if each["forward"] else "no")
        step = Text(each["bump"], _BUMP_STYLES[each["bump"]])
        table.add_row(plain(each["path"]), plain(each["what"]), *yes, step, plain(each["why"]))
    console.print(table)
    console.print(
        f"Compatibility: {found['mode']}; with all versions before: {found['transitive']}"
    )
    if found["enough"]:
        console.print(f"{found['new']} is step enough for a {found['bump']} change.")
    else:
        needed = f"A {found['bump']} change needs {found['needed_version']} or higher."
        console.print(Text(needed, "red"))
