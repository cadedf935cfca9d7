"""Backfills on the command line: plan, look, start, pause, resume, cancel; and mended rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventpulse.cli.commands import NOT_WELL, OK, Session, UsageError
from eventpulse.client import poll

Answer = dict[str, Any]

MOVING = frozenset({"planning", "running"})
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def plan(session: Session) -> int:
    given = session.given
    body = {
        "dataset": given.dataset,
        "since": given.since,
        "until": given.until,
        "check": given.check,
        "force": given.force,
    }
    return _follow(session, session.client.post("/api/backfills", body))


def show(session: Session) -> int:
    return _follow(session, session.client.get(f"/api/backfills/{_find(session)}"))


def start(session: Session) -> int:
    return _decide(session, "start")


def pause(session: Session) -> int:
    return _decide(session, "pause")


def resume(session: Session) -> int:
    return _decide(session, "resume")


def cancel(session: Session) -> int:
    return _decide(session, "cancel")


def _decide(session: Session, decision: str) -> int:
    return _follow(session, session.client.post(f"/api/backfills/{_find(session)}/{decision}"))


def _find(session: Session) -> str:
    """The backfill whose id begins so, among the newest."""
    wanted = str(session.given.id).lower()
    if len(wanted) == 36:
        return wanted
    known = [each["id"] for each in session.client.get("/api/backfills", limit=200)["backfills"]]
    found = [each for each in known if each.startswith(wanted)]
    if len(found) != 1:
        how = "No backfill's id" if not found else "More than one backfill's id"
        raise UsageError(f"{how} begins with {wanted!r}; list them with `eventpulse backfill list`")
    return str(found[0])


def _follow(session: Session, backfill: Answer) -> int:
    """Show what was asked for; with --wait once it is planned, done or paused. 1 if it failed, or
    if an item of it did."""
    if session.given.wait:
        backfill = _wait(session, backfill)
    session.show(backfill, lambda: _render(session, backfill))
    bad = backfill["state"] == "failed" or backfill["outcomes"].keys() & {
        "rejected",
        "failed",
        "refused",
    }
    return NOT_WELL if session.given.wait and bad else OK


def _wait(session: Session, backfill: Answer) -> Answer:
    from eventpulse.cli.progress import watch_progress

    path = f"/api/backfills/{backfill['id']}"
    with watch_progress(f"backfill of {backfill['dataset']}") as advance:

        def look() -> Answer | None:
            found = session.client.get(path)
            done = found["checked"] if found["state"] == "planning" else found["ended"]
            advance(done, found["items"])
            return None if found["state"] in MOVING else found

        try:
            return poll(look, session.given.timeout)
        except TimeoutError:
            return session.client.get(path)


def _render(session: Session, backfill: Answer) -> None:
    from eventpulse.cli.rendering import show_fields, show_rows

    foreseen: Mapping[str, Any] = backfill["foreseen"]
    shown = {name: value for name, value in backfill.items() if name not in ("foreseen", "force")}
    show_fields(session.console, shown)
    if backfill["check"] and foreseen["files"]:
        session.console.print(
            f"  {foreseen['changed']:,} of {foreseen['files']:,} files would end otherwise: rows "
            f"accepted {foreseen['rows_accepted_before']:,} → {foreseen['rows_accepted_after']:,}, "
            f"refused {foreseen['rows_refused_before']:,} → {foreseen['rows_refused_after']:,}"
        )
        show_rows(session.console, foreseen["examples"], ("object", "before", "after"))
    if backfill["state"] in MOVING:
        session.console.print(f"  follow it: eventpulse backfill show {backfill['id'][:8]} --wait")
    if backfill["state"] == "planned":
        session.console.print(f"  run it: eventpulse backfill start {backfill['id'][:8]} --wait")


# --- Mended rows ---------------------------------------------------------------------------------


def recover(session: Session) -> int:
    """Send a workbook, or a JSON file of rows, and follow the new ingestion."""
    from eventpulse.cli.progress import follow_ingestions
    from eventpulse.cli.rendering import show_outcome

    client, file = session.client, session.given.file
    path = f"/api/ingestions/{client.resolve_id(session.given.id)}/recover"
    if file.suffix.lower() == ".xlsx":
        answer = client.post_file(path, file.read_bytes(), XLSX)
    else:
        answer = client.post(path, _read_rows(file))
    [ended] = follow_ingestions(
        client, [client.get_ingestion(answer["ingestion"])], session.given.timeout
    )
    session.show({**answer, "outcome": ended}, lambda: show_outcome(session.console, ended))
    return OK if ended["state"] in ("loaded", "duplicate") else NOT_WELL


def _read_rows(file: Path) -> Answer:
    try:
        sent = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is no JSON: {error}") from error
    return {"rows": sent} if isinstance(sent, list) else sent


def replay_failures(session: Session) -> int:
    """Replay a failure group, a hundred at a time until none is left."""
    given = session.given
    names = ("state", "reason", "failed_step", "dataset", "since", "until")
    body = {name: getattr(given, name) for name in names if getattr(given, name)}
    replays: list[Answer] = []
    more = True
    while more:
        answer = session.client.post("/api/ingestions/replay", {**body, "limit": 100})
        replays += answer["replays"]
        more = answer["more"] and any(each["replay"] for each in answer["replays"])

    def render() -> None:
        from eventpulse.cli.rendering import show_rows

        show_rows(session.console, replays, ("ingestion", "replay", "detail"))

    session.show({"replays": replays}, render)
    return OK if all(each["replay"] for each in replays) else NOT_WELL
