"""`eventpulse devices …`: provision, watch and command devices in the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from eventpulse.cli.commands import OK, Command, Session, UsageError
from eventpulse.fleet.commands import TYPES

Answer = dict[str, Any]
Add = Callable[..., Any]
_STYLES = {"online": "green", "late": "yellow", "offline": "red", "revoked": "dim"}


def add_device_commands(group: Any, add: Add, add_page: Callable[[Any, int], None]) -> None:
    """The parsers of `eventpulse devices`; `add` makes one command's, `add_page` pages it."""
    parser = group.add_parser("devices", help="provision, watch and command devices in the field")
    devices = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = add(devices, "list", list_devices, "list devices with their status", "devices list")
    listed.add_argument("--state", choices=("created", "enrolled", "revoked"))
    add_page(listed, 50)
    created = add(
        devices,
        "create",
        create_device,
        "provision a device and print its claim code, once",
        "devices create station-0001 --name 'On the roof'",
    )
    created.add_argument("device", metavar="DEVICE")
    created.add_argument("--name", default="")
    created.add_argument("--heartbeat", type=int, default=60, help="seconds (default: 60)")
    created.add_argument("--seal", type=int, default=300, help="seconds (default: 300)")
    alerts = add(devices, "alerts", list_alerts, "list alerts, open ones first opened last")
    alerts.add_argument("--device")
    alerts.add_argument("--all", action="store_true", help="those that were closed, too")
    add_page(alerts, 50)
    for name, command, summary in _ONE:
        add(devices, name, command, summary, f"devices {name} station-0001").add_argument(
            "device", metavar="DEVICE"
        )
    revoked = add(
        devices,
        "revoke",
        revoke_device,
        "refuse a device from now on",
        "devices revoke station-0001 --reason stolen",
    )
    revoked.add_argument("device", metavar="DEVICE")
    revoked.add_argument("--reason", required=True)
    asked = add(
        devices,
        "command",
        send_command,
        "ask something of a device",
        "devices command station-0001 ping",
        "devices command station-0001 set_interval sensor=room seconds=10",
    )
    asked.add_argument("device", metavar="DEVICE")
    asked.add_argument("type", choices=sorted(TYPES))
    asked.add_argument("arguments", nargs="*", metavar="NAME=VALUE")
    series = add(
        devices,
        "series",
        show_series,
        "print a column of a device's readings over time",
        "devices series station-0001 --column temperature --points 24",
    )
    series.add_argument("device", metavar="DEVICE")
    series.add_argument("--column", default="temperature")
    series.add_argument("--since", help="ISO 8601; the day before --until without it")
    series.add_argument("--until", help="ISO 8601; now without it")
    series.add_argument("--points", type=int, default=24, help="at most (default: 24)")


# --- Commands ------------------------------------------------------------------------------------


def list_devices(session: Session) -> int:
    given = session.given
    page = session.client.list_devices(state=given.state, limit=given.limit, cursor=given.cursor)
    rows = [
        (
            each["id"],
            each["name"],
            (each["status"], _STYLES.get(each["status"], "")),
            (each["last_seen"] or "")[:19].replace("T", " "),
            "" if each["battery"] is None else f"{each['battery']:g} %",
            "" if each["spooled_events"] is None else f"{each['spooled_events']:,}",
            ", ".join(each["alerts"]),
        )
        for each in page["devices"]
    ]
    names = ("device", "name", "status", "last seen (UTC)", "battery", "waiting", "alerts")
    return _show_table(session, page, names, rows, "No devices. Make one: devices create DEVICE.")


def create_device(session: Session) -> int:
    given = session.given
    answer = session.client.create_device(
        given.device, name=given.name, heartbeat_seconds=given.heartbeat, seal_seconds=given.seal
    )
    return _show_code(session, answer)


def renew_code(session: Session) -> int:
    return _show_code(session, session.client.act_on_device(session.given.device, "claim-code"))


def show_device(session: Session) -> int:
    device = session.client.ask_device(session.given.device)
    facts = {
        "status": f"{device['status']}: {device['basis']}",
        "epoch": device["epoch"],
        "firmware": device["firmware"],
        "battery": device["battery"],
        "waiting events": device["spooled_events"],
        "clock offset (s)": device["clock_offset"],
        "alerts": ", ".join(device["alerts"]) or "none",
        "keys": ", ".join(each["kid"][:12] for each in device["keys"]) or "none",
        "commands pending": device["commands_pending"],
    }
    rows = [(name, "" if value is None else str(value)) for name, value in facts.items()]
    return _show_table(session, device, (device["id"], device["name"]), rows, "")


def show_gaps(session: Session) -> int:
    page = session.client.ask_device(session.given.device, "gaps")
    rows = [
        (
            each["epoch"],
            f"{each['landed']:,} of {each['known_last']:,}",
            _show_ranges(each["missing"]),
            (each["missing_since"] or "")[:19].replace("T", " "),
            _show_ranges(each["given_up"]),
        )
        for each in page["epochs"]
    ]
    names = ("epoch", "arrived", "missing", "since (UTC)", "given up")
    return _show_table(session, page, names, rows, "Nothing is missing, nothing was given up.")


def _show_ranges(ranges: list[list[int]]) -> str:
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in ranges)


def list_batches(session: Session) -> int:
    page = session.client.ask_device(session.given.device, "batches")
    rows = [
        (
            f"{each['epoch']} {each['first']}-{each['last']}",
            each["state"],
            "" if each["rows"] is None else f"{each['rows']:,}",
            (each["ingestion"] or "")[:8],
            each["problem"] or "",
        )
        for each in page["batches"]
    ]
    return _show_table(
        session, page, ("batch", "state", "rows", "ingestion", "problem"), rows, "No batches."
    )


def list_commands(session: Session) -> int:
    page = session.client.ask_device(session.given.device, "commands")
    rows = [
        (each["id"][:8], each["type"], each["status"], json.dumps(each["result"] or {}))
        for each in page["commands"]
    ]
    return _show_table(session, page, ("command", "type", "status", "result"), rows, "None.")


def show_timeline(session: Session) -> int:
    answer = session.client.ask_device(session.given.device, "timeline")
    rows = [
        (
            each["at"][:19].replace("T", " "),
            each["about"].partition("/")[0],
            each["type"],
            each["cause"].get("actor", ""),
        )
        for each in answer["events"]
    ]
    return _show_table(session, answer, ("at (UTC)", "about", "event", "by"), rows, "")


def list_alerts(session: Session) -> int:
    given = session.given
    page = session.client.list_alerts(
        device=given.device,
        state=None if given.all else "open",
        limit=given.limit,
        cursor=given.cursor,
    )
    rows = [
        (
            each["device"],
            each["rule"],
            (each["state"], "red" if each["state"] == "open" else "dim"),
            each["opened_at"][:19].replace("T", " "),
            each["detail"],
        )
        for each in page["alerts"]
    ]
    names = ("device", "alert", "state", "opened (UTC)", "why")
    return _show_table(session, page, names, rows, "No alerts.")


def revoke_device(session: Session) -> int:
    given = session.given
    answer = session.client.act_on_device(given.device, "revoke", {"reason": given.reason})
    return _show_table(session, answer, ("device", "status"), [(answer["id"], answer["basis"])], "")


def send_command(session: Session) -> int:
    given = session.given
    sent = {"type": given.type, "arguments": read_arguments(given.arguments)}
    answer = session.client.act_on_device(given.device, "commands", sent)
    row = (answer["id"][:8], answer["type"], answer["status"], answer["expires"][:19])
    return _show_table(session, answer, ("command", "type", "status", "expires"), [row], "")


def read_arguments(texts: list[str]) -> Answer:
    """NAME=VALUE, where a value that is JSON is taken as such."""
    arguments: Answer = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not NAME=VALUE")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def show_series(session: Session) -> int:
    given = session.given
    series = session.client.ask_device(
        given.device,
        "series",
        column=given.column,
        since=given.since,
        until=given.until,
        points=given.points,
    )
    rows = [
        (
            each["at"][:19].replace("T", " "),
            f"{each['count']:,}",
            *("" if each[name] is None else f"{each[name]:.2f}" for name in _VALUES),
        )
        for each in series["points"]
    ]
    names = ("at (UTC)", "values", *_VALUES)
    return _show_table(session, series, names, rows, f"No values of {given.column} in that time.")


_VALUES = ("mean", "least", "greatest")
_ONE: tuple[tuple[str, Command, str], ...] = (
    ("show", show_device, "show one device and the basis of its status"),
    ("claim-code", renew_code, "print a new claim code, once"),
    ("gaps", show_gaps, "print exactly which events are missing"),
    ("batches", list_batches, "list what a device sent, and the ingestion that reads it"),
    ("commands", list_commands, "list what a device was asked"),
    ("timeline", show_timeline, "print all that happened to a device"),
)


# --- Printing ------------------------------------------------------------------------------------


def _show_code(session: Session, answer: Answer) -> int:
    row = (answer["device"], answer["claim_code"], answer["expires"][:19].replace("T", " "))
    names = ("device", "claim code (shown once)", "expires (UTC)")
    return _show_table(session, answer, names, [row], "")


def _show_table(
    session: Session,
    answer: Answer,
    names: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    nothing: str,
) -> int:
    """The answer as JSON, or its rows; a cell is text, or text and its style."""

    def render() -> None:
        from rich.text import Text

        from eventpulse.cli.rendering import make_table, plain

        table = make_table(*names)
        for row in rows:
            cells = [each if isinstance(each, tuple) else (each, "") for each in row]
            table.add_row(*(Text(plain(text), style) for text, style in cells))
        session.console.print(table if rows else nothing)
        if answer.get("next_cursor"):
            session.console.print(Text(f"  more: --cursor {answer['next_cursor']}", "dim"))

    session.show(answer, render)
    return OK
