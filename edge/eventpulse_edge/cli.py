"""The command line: `eventpulse-edge run | enroll | status | spool inspect | spool verify`."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from eventpulse_edge import VERSION
from eventpulse_edge.config import VARIABLES, Config, ConfigError, load_config
from eventpulse_edge.inspection import find_mark, inspect_spool, verify_spool
from eventpulse_edge.logs import configure_logging
from eventpulse_edge.watchdog import Watchdog

USAGE = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 (it did not work), 64 (wrong configuration or usage)."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    environment = dict(os.environ)
    try:
        config = load_config(environment, options.config)
    except ConfigError as error:
        _complain(str(error))
        return USAGE
    configure_logging(config.device, config.log_level)
    if options.command == "run":
        return run(config, environment)
    if options.command == "enroll":
        return enroll_device(config, environment, options.claim_code)
    try:
        if options.command == "status":
            return show_status(config, as_json=options.json)
        verify = options.action == "verify"
        return show_spool(config.state / "spool", verify=verify, as_json=options.json)
    except PermissionError as error:
        _complain(f"{error.filename} is the agent's own: say it as root, or as the agent's user")
        return 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _make_parser() -> argparse.ArgumentParser:
    variables = "\n".join(f"  {name:<28} {meaning}" for name, meaning in VARIABLES.items())
    parser = argparse.ArgumentParser(
        prog="eventpulse-edge",
        description="Samples sensors, keeps every event on disk, delivers each exactly once.",
        epilog=f"environment:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--config", type=Path, help="the configuration file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="sample and deliver until stopped")
    enrolling = commands.add_parser("enroll", help="bind this device's key with a claim code")
    enrolling.add_argument(
        "--claim-code",
        help="the one-time code; better in EVENTPULSE_EDGE_CLAIM_CODE, or typed when asked for",
    )
    status = commands.add_parser("status", help="how the agent and its spool are")
    status.add_argument("--json", action="store_true", help="as JSON")
    spool = commands.add_parser("spool", help="look into the spool")
    actions = spool.add_subparsers(dest="action", required=True)
    for name, words in (("inspect", "list its files"), ("verify", "check every byte of them")):
        action = actions.add_parser(name, help=words)
        action.add_argument("--json", action="store_true", help="as JSON")
    return parser


def run(config: Config, environment: Mapping[str, str]) -> int:
    from eventpulse_edge.agent import Agent

    try:
        agent = Agent(
            config,
            watchdog=Watchdog(environment),
            claim_code=environment.get("EVENTPULSE_EDGE_CLAIM_CODE") or None,
        )
    except ConfigError as error:
        _complain(str(error))
        return USAGE
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: agent.stop())
    return agent.run()


def enroll_device(config: Config, environment: Mapping[str, str], given: str | None) -> int:
    from eventpulse_edge.clock import SystemClock, Timeline
    from eventpulse_edge.enrolment import enroll
    from eventpulse_edge.heartbeat import ContractCache
    from eventpulse_edge.identity import IdentityStore
    from eventpulse_edge.server import Server, ServerError

    code = given or environment.get("EVENTPULSE_EDGE_CLAIM_CODE")
    if not code:
        code = getpass.getpass("Claim code: ") if sys.stdin.isatty() else sys.stdin.readline()
    timeline = Timeline(SystemClock())
    try:
        identity, _ = enroll(
            Server(config.server, timeline, ca=config.ca),
            timeline,
            IdentityStore(config.state / "identity"),
            ContractCache(config.state / "contract.json"),
            device=config.device,
            claim_code=code.strip(),
        )
    except (ServerError, OSError) as error:
        _complain(f"not enrolled: {error}")
        return 1
    _say(f"{identity.device} is enrolled at {identity.server} with the key {identity.kid}")
    return 0


def show_status(config: Config, *, as_json: bool) -> int:
    """1 when no agent runs."""
    status = _read_status(config.runtime / "status.json")
    root = config.state / "spool"
    reports = list(inspect_spool(root))
    counts = Counter(report.folder for report in reports)
    isolated = [str(report.path) for report in reports if report.folder == "isolated"]
    running = status is not None and _is_running(int(str(status["pid"])))
    document = {
        "running": running,
        "agent": status,
        "spool": {
            "files": dict(counts),
            "events": sum(each.events for each in reports if each.folder != "isolated"),
            "bytes": sum(each.size for each in reports),
            "isolated": isolated,
            "delivered_up_to": find_mark(root),
        },
    }
    if as_json:
        _say(json.dumps(document, indent=2))
        return 0 if running else 1
    _say(f"{config.device}: {'running' if running else 'not running'}, server {config.server}")
    if status is not None:
        _print_agent(status)
    spool = document["spool"]
    assert isinstance(spool, dict)
    _say(f"spool    {spool['events']} events wait, {spool['bytes']} bytes in {root}")
    _say(f"         delivered up to {spool['delivered_up_to'] or 'nothing yet'}")
    for path in isolated:
        _say(f"refused  {path}")
    return 0 if running else 1


def _print_agent(status: Mapping[str, object]) -> None:
    offset, bound = status["clock_offset"], status["clock_bound"]
    clock = "not known yet" if offset is None else f"wall clock off by {offset} s ± {bound} s"
    _say(f"clock    {clock}")
    _say(f"epoch    {status['epoch']}, next number {status['next_seq']}")
    problem = status["upload_problem"] or status["heartbeat_problem"]
    _say(f"network  {problem or 'connected'}; {status['delivered']} batches delivered")
    if status["fault"]:
        _say(f"disk     {status['fault']}: events wait in memory")


def _read_status(path: Path) -> dict[str, object] | None:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def show_spool(root: Path, *, verify: bool, as_json: bool) -> int:
    """1 when something is damaged. What is torn was never accepted, and is no damage."""
    reports = list(verify_spool(root) if verify else inspect_spool(root))
    bad = [report for report in reports if not report.sound]
    if as_json:
        rows = [
            {
                "file": str(each.path.relative_to(root)),
                "bytes": each.size,
                "epoch": each.epoch,
                "first": each.first,
                "last": each.last,
                "events": each.events,
                "damaged_bytes": each.damaged,
                "torn_bytes": each.torn,
                "lost_events": each.lost,
            }
            for each in reports
        ]
        _say(json.dumps(rows, indent=2))
    else:
        for each in reports:
            numbers = f"{each.epoch}/{each.first}-{each.last}"
            note = "" if each.sound else f"  DAMAGED, {each.lost} events cannot be read"
            note += f"  {each.torn} bytes torn" if each.torn else ""
            _say(f"{each.folder:<9} {numbers:<36} {each.events:>6} events{note}")
        events = sum(each.events for each in reports)
        _say(f"{len(reports)} files, {events} events, {len(bad)} damaged")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
