"""The command line, `eventpulse`: every command is one or a few requests to the API of a stack.

Exit status: 0 when all went well; 1 when a file was rejected or failed, a contract is not valid, a
table differs, or the API refused; 2 for wrong usage; 3 when the stack cannot be reached or may not
be used by the caller; 130 after Ctrl-C. With `--json` standard output has the API's JSON and
nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from eventpulse.cli import backfills, commands, contracts
from eventpulse.cli.commands import NOT_WELL, OK, UNREACHABLE, USAGE, Command, Session, UsageError
from eventpulse.cli.completion import SHELLS, complete, print_script
from eventpulse.cli.devices import add_device_commands
from eventpulse.cli.plain import add_plain_commands
from eventpulse.errors import BackendUnavailable, EventPulseError
from eventpulse.ingestions.ingestion import Reason, Sort, State

WAIT_SECONDS = 900.0

EXAMPLES = """\
examples:
  eventpulse up                                    start a stack on this machine
  eventpulse ingest 2013.csv --dataset weather     upload a file and see what becomes of it
  eventpulse ingestions --state rejected           what was refused lately
  eventpulse quarantine 1f3a --csv > refused.csv   the refused rows of an ingestion

exit status:
  0  all went well
  1  a file was rejected or failed, a contract is not valid, a table differs, or the API refused
  2  wrong usage
  3  the stack cannot be reached, or does not let you in

EVENTPULSE_URL says which stack; without it, the one that runs on EVENTPULSE_HOME (.eventpulse).
EVENTPULSE_API_TOKEN is sent as the bearer: in a cloud, a Google ID token.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["up"]:
        return _run_up(arguments[1:])
    parser = make_parser()
    complete(parser)
    given = parser.parse_args(arguments)
    session = Session(given)
    try:
        command: Command = given.command
        status = command(session)
        sys.stdout.flush()
        return status
    except UsageError as error:
        sys.stderr.write(f"eventpulse: {error}\n")
        return USAGE
    except EventPulseError as error:
        _tell(session, error)
        shut = isinstance(error, BackendUnavailable) or error.code == "unauthenticated"
        return UNREACHABLE if shut else NOT_WELL
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _run_up(arguments: Sequence[str]) -> int:
    try:
        from eventpulse.local.up import main as run
    except ImportError as error:
        sys.stderr.write(f"{error}. A stack needs more: pip install 'eventpulse[local,all]'\n")
        return USAGE
    return run(arguments)


def _tell(session: Session, error: EventPulseError) -> None:
    if session.given.json:
        commands.print_json({**error.fields, "code": error.code, "detail": error.message})
        return
    from eventpulse.cli.rendering import make_console, show_error

    console = make_console(stderr=True)
    show_error(console, error)
    if isinstance(error, BackendUnavailable):
        console.print("  Start a stack with `eventpulse up`, or say where it is: EVENTPULSE_URL.")


# --- Options -------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        prog="eventpulse",
        description="Files become trusted tables: each checked against its contract, loaded once.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    group.add_parser("up", help="start a stack and keep it until Ctrl-C", add_help=False)
    _add_ingest(group)
    _add_ingestions(group)
    _add_decisions(group)
    _add_datasets(group)
    _add_contracts(group)
    _add_proposals(group)
    add_device_commands(group, _add, _add_page)
    _add_backfills(group)
    _add_completion(group)
    add_plain_commands(_groups(group), _add, _add_page)
    return parser


def _add(
    group: Any, name: str, command: Command, summary: str, *examples: str
) -> argparse.ArgumentParser:
    epilog = "examples:\n" + "\n".join(f"  eventpulse {each}" for each in examples)
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the API's JSON, nothing else")
    parser.set_defaults(command=command)
    return parser


def _add_ingest(group: Any) -> None:
    parser = _add(
        group,
        "ingest",
        commands.ingest,
        "upload files, wait, and print what was refused and why",
        "ingest 2013.csv --dataset weather",
        "ingest weather/*.csv            the folder of each file names its dataset",
        "ingest export.csv --as weather/2013-07.csv",
    )
    parser.add_argument("files", nargs="+", type=_existing_file, metavar="FILE")
    parser.add_argument("--dataset", help="upload as <dataset>/<file name>")
    parser.add_argument("--as", dest="as_name", metavar="NAME", help="the raw object's name")
    parser.add_argument(
        "--no-replace",
        dest="replace",
        action="store_false",
        help="refuse a name that was uploaded before, instead of replacing it",
    )
    parser.add_argument(
        "--rows", type=_page_size, default=20, help="refused rows to print (default: %(default)s)"
    )
    _add_timeout(parser)


def _add_ingestions(group: Any) -> None:
    parser = _add(
        group,
        "ingestions",
        commands.list_ingestions,
        "list ingestions, newest first",
        "ingestions --state rejected --dataset weather",
        "ingestions --not-state loaded --not-state duplicate --not-reason drift",
        "ingestions --sort seconds --limit 10        the slowest",
    )
    for flag, choices, about in (
        ("--state", get_args(State), None),
        ("--reason", get_args(Reason), "why it was rejected"),
        ("--dataset", None, None),
        ("--object", None, "the raw object's name, exactly"),
    ):
        parser.add_argument(flag, choices=choices, help=about)
        left_out = f"--not-{flag[2:]}"
        parser.add_argument(
            left_out, action="append", choices=choices, help="leave these out; may be repeated"
        )
    parser.add_argument("--since", help="received from then on: 2026-01-31")
    parser.add_argument("--until", help="received before then")
    parser.add_argument("--search", help="a text in the name, the reason or the detail")
    parser.add_argument(
        "--sort",
        choices=[each for each in get_args(Sort) if not each.startswith("-")],
        default="received_at",
        help="the newest first, or the most (default: %(default)s)",
    )
    parser.add_argument("--reverse", action="store_true", help="the oldest, or the least, first")
    _add_page(parser, 50)
    parser = _add(
        group, "show", commands.show_one, "show one ingestion with its timeline", "show 1f3a9c20"
    )
    _add_id(parser)
    parser = _add(
        group,
        "quarantine",
        commands.show_quarantine,
        "print the rows that an ingestion refused",
        "quarantine 1f3a9c20",
        "quarantine 1f3a9c20 --csv > refused.csv",
        "quarantine 1f3a9c20 --xlsx refused.xlsx",
    )
    _add_id(parser)
    parser.add_argument("--csv", action="store_true", help="all of them, for a spreadsheet")
    parser.add_argument(
        "--xlsx", type=Path, metavar="FILE", help="write a workbook to mend them in"
    )
    _add_page(parser, 50)


def _add_decisions(group: Any) -> None:
    parser = _add(
        group,
        "recover",
        backfills.recover,
        "send refused rows again, mended in their workbook or as JSON",
        "recover 1f3a9c20 refused.xlsx",
        """recover 1f3a9c20 rows.json         [{"record": 2, "row": {"amount": "3"}}]""",
    )
    _add_id(parser)
    parser.add_argument("file", type=_existing_file, metavar="FILE")
    _add_timeout(parser)
    parser = _add(
        group,
        "replay-failures",
        backfills.replay_failures,
        "replay everything that failed for one cause and was not replayed yet",
        "replay-failures --dataset weather --reason drift",
    )
    parser.add_argument("--state", choices=("rejected", "failed"))
    parser.add_argument("--reason", choices=get_args(Reason))
    parser.add_argument("--failed-step", dest="failed_step")
    parser.add_argument("--dataset")
    parser.add_argument("--since", help="received from then on: 2026-01-31")
    parser.add_argument("--until", help="received before then")
    parser = _add(
        group,
        "replay",
        commands.replay,
        "read an ingestion's file again under the current contract",
        "replay 1f3a9c20 --wait",
    )
    _add_id(parser)
    parser.add_argument("--key", help="the same key names the same replay")
    _add_wait(parser)
    parser = _add(
        group,
        "retract",
        commands.retract,
        "take an ingestion's rows out again, as if it had never come",
        "retract 1f3a9c20 --wait",
    )
    _add_id(parser)
    _add_wait(parser)


def _add_datasets(group: Any) -> None:
    _add(
        group,
        "datasets",
        commands.list_datasets,
        "list datasets, their contracts and row counts",
        "datasets --json",
    )
    parser = _add(
        group,
        "verify",
        commands.verify,
        "rebuild a table from raw objects and compare",
        "verify weather",
    )
    parser.add_argument("dataset", metavar="DATASET")
    _add_timeout(parser, 3600.0)


def _add_contracts(group: Any) -> None:
    contract = group.add_parser("contract", help="check, publish and read contracts")
    below = contract.add_subparsers(title="commands", metavar="COMMAND", required=True)
    lint = _add(
        below,
        "lint",
        commands.lint_contracts,
        "check contracts and name every problem; needs no stack",
        "contract lint contracts/",
    )
    _add_paths(lint, "an .odcs.yaml file, or a folder of them")
    publish = _add(
        below,
        "publish",
        commands.publish_contracts,
        "register contracts",
        "contract publish contracts/",
    )
    _add_paths(publish, "an .odcs.yaml file, or a folder of them")
    show = _add(
        below,
        "show",
        commands.show_contract,
        "print a published contract's YAML",
        "contract show weather",
    )
    show.add_argument("dataset", metavar="DATASET")
    show.add_argument("--version", help="the current one, if it is not given")
    diff = _add(
        below,
        "diff",
        contracts.diff_contracts,
        "compare two versions and say which version number the change needs",
        "contract diff contracts/weather.odcs.yaml changed.odcs.yaml",
        "contract diff weather@1.0.0 contracts/weather.odcs.yaml",
    )
    for name in ("old", "new"):
        about = "a file, or DATASET[@VERSION] of the registry"
        diff.add_argument(name, metavar=name.upper(), help=about)
    mart = group.add_parser("mart", help="publish marts")
    marts = mart.add_subparsers(title="commands", metavar="COMMAND", required=True)
    publish = _add(
        marts, "publish", commands.publish_marts, "register marts", "mart publish contracts/marts/"
    )
    _add_paths(publish, "a .sql file, or a folder of them")


def _add_proposals(group: Any) -> None:
    parser = _add(
        group,
        "proposals",
        contracts.show_proposals,
        "list contracts that verdicts propose, or show one with its diff",
        "proposals",
        "proposals 1f3a9c20",
    )
    parser.add_argument("id", metavar="ID", nargs="?", help="one proposal, or how its id begins")
    parser.add_argument("--all", action="store_true", help="those that were decided too")
    parser.add_argument("--dataset")
    _add_page(parser, 50)
    parser = _add(
        group,
        "accept",
        contracts.accept,
        "accept a proposal: register its contract, replay what waits",
        "accept 1f3a9c20 --wait --into contracts/",
        "accept 1f3a9c20 --contract edited.odcs.yaml",
    )
    parser.add_argument("id", metavar="ID", help="the proposal's id, or how it begins")
    parser.add_argument(
        "--contract", type=_existing_file, metavar="FILE", help="register this contract instead"
    )
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="write <dataset>.odcs.yaml into this folder"
    )
    _add_wait(parser)
    parser = _add(
        group,
        "reject",
        contracts.reject,
        "reject a proposal: it stays closed",
        "reject 1f3a9c20",
    )
    parser.add_argument("id", metavar="ID", help="the proposal's id, or how it begins")


def _groups(top: Any) -> dict[str, Any]:
    """The subparsers below each first word, made where there are none; "" is the top."""
    found = {"": top}
    for name, about in (
        ("report", "print what an ingestion left"),
        ("dataset", "look at a dataset"),
        ("contract", ""),
        ("mart", ""),
        ("backfill", ""),
    ):
        parser = top.choices[name] if name in top.choices else top.add_parser(name, help=about)
        existing = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        found[name] = (
            existing[0]
            if existing
            else parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        )
    return found


def _add_backfills(group: Any) -> None:
    backfill = group.add_parser("backfill", help="read a dataset's files of some time again")
    below = backfill.add_subparsers(title="commands", metavar="COMMAND", required=True)
    plan = _add(
        below,
        "plan",
        backfills.plan,
        "say what would run and what it would change; nothing runs yet",
        "backfill plan weather --since 2026-01-01 --until 2026-02-01 --wait",
    )
    plan.add_argument("dataset", metavar="DATASET")
    plan.add_argument("--since", help="the first day or moment that a file was created")
    plan.add_argument("--until", help="the first moment that is too late")
    plan.add_argument(
        "--no-check", dest="check", action="store_false", help="do not read the files for it"
    )
    plan.add_argument(
        "--force", action="store_true", help="also what the current contract has judged already"
    )
    _add_wait(plan)
    for name, command, summary in (
        ("show", backfills.show, "show a backfill and how far it is"),
        ("start", backfills.start, "run a planned backfill"),
        ("pause", backfills.pause, "let the slice under way end, and stop"),
        ("resume", backfills.resume, "go on with a paused backfill"),
        ("cancel", backfills.cancel, "let the slice under way end, and never go on"),
    ):
        parser = _add(below, name, command, summary, f"backfill {name} 5b1e9c20")
        parser.add_argument("id", metavar="ID", help="the backfill's id, or how it begins")
        _add_wait(parser)


def _add_completion(group: Any) -> None:
    parser = _add(
        group,
        "completion",
        print_script,
        "print the script that completes commands in a shell",
        'completion bash >> ~/.bashrc       or: eval "$(eventpulse completion bash)"',
    )
    parser.add_argument("shell", choices=SHELLS)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the ingestion's id, or how it begins")


def _add_paths(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=what)


def _add_page(parser: argparse.ArgumentParser, limit: int) -> None:
    parser.add_argument("--limit", type=_page_size, default=limit, help="default: %(default)s")
    parser.add_argument("--cursor", help="where the page before ended")


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="until it is done")
    _add_timeout(parser)


def _add_timeout(parser: argparse.ArgumentParser, seconds: float = WAIT_SECONDS) -> None:
    parser.add_argument(
        "--timeout",
        type=float,
        default=seconds,
        help="seconds to wait at most (default: %(default)g)",
    )


def _existing_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def _page_size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 200:
        raise argparse.ArgumentTypeError("a number from 1 to 200")
    return int(text)
