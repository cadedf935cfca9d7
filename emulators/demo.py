"""The demo: a stack, files of every kind dropped into it, and what became of each.

`python -m emulators.demo` runs the scenarios of `samples/scenarios.py` one after the other through
the doors that suppliers and operators use, and shows what the API says of them in the end. It exits
with 0 only when every scenario ended as it must.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import posixpath
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from emulators.demo_tables import (
    show_digests,
    show_ingestions,
    show_mart,
    show_progress,
    show_refusals,
)
from emulators.field import DEVICES, run_field, show_series
from emulators.samples.scenarios import Outcome, Scenario, build_scenarios
from emulators.user import Answer, NotEnded, StackUser
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.local.children import StartFailed
from eventpulse.local.home import Home, HomeTaken
from eventpulse.local.lanes import LANES
from eventpulse.local.stack import ROOT, PortTaken, Stack
from eventpulse.local.up import describe, interrupt_once

JSON_FIELDS = (
    "id",
    "dataset",
    "object",
    "state",
    "reason",
    "rows_read",
    "rows_accepted",
    "rows_quarantined",
    "rows_duplicate",
    "rows_current",
    "rows_superseded",
    "quality_uri",
    "drift_uri",
    "lineage_uri",
    "quarantine_uri",
)
DEMO_LANES = tuple(lane for lane in LANES if lane != "cloud")
"""A project's stores are not the place for a demo's files."""

_SECONDS = 120.0
_FEW = 3


class Demo:
    """One run of the scenarios against a stack."""

    def __init__(self, user: StackUser, console: Console, scenarios: Sequence[Scenario]) -> None:
        self._user = user
        self._console = console
        self._scenarios = scenarios
        self._shown: dict[str, tuple[str, str]] = {}  # ingestion -> scenario, file
        self._seen: dict[str, Ingestion | None] = {}
        self._first: dict[str, str] = {}  # scenario -> its first ingestion
        self.surprises: list[str] = []

    @property
    def ids(self) -> list[str]:
        """The ingestions of this run, in order."""
        return list(self._shown)

    def play(self) -> None:
        """Run every scenario, each after the one before has ended. Raises NotEnded."""
        with Live(console=self._console, auto_refresh=False) as self._live:
            for scenario in self._scenarios:
                ended = self._play(scenario)
                if not any(
                    all(map(is_as_expected, order, scenario.outcomes))
                    for order in itertools.permutations(ended)
                    if scenario.together or order == tuple(ended)
                ):
                    self.surprises.append(describe_surprise(scenario, ended))

    def _play(self, scenario: Scenario) -> list[Ingestion]:
        user = self._user
        if scenario.replay_of is not None:
            replay = user.replay(self._first[scenario.replay_of])
            return self._await(scenario, [(f"replay of {scenario.replay_of}", replay)])
        files = [(each.object_name, each.content) for each in scenario.uploads]
        if scenario.together:
            names = [name for name, _ in files]
            ids = user.upload_together(files)
            return self._await(scenario, list(zip(names, ids, strict=True)))
        return [
            ended
            for name, content in files
            for ended in self._await(scenario, [(name, user.upload(name, content))])
        ]

    def _await(self, scenario: Scenario, files: list[tuple[str, str]]) -> list[Ingestion]:
        for name, ingestion in files:
            self._shown[ingestion] = (scenario.name, name)
            self._first.setdefault(scenario.name, ingestion)
        return self._user.await_ends([each for _, each in files], _SECONDS, self._show)

    def _show(self, seen: Mapping[str, Ingestion | None]) -> None:
        before = dict(self._seen)
        self._seen.update(seen)
        if self._seen == before:
            return
        rows = [(*names, self._seen.get(each)) for each, names in self._shown.items()]
        self._live.update(show_progress(rows), refresh=True)


def is_as_expected(ingestion: Ingestion, outcome: Outcome) -> bool:
    """Whether an ingestion ended as its scenario says."""
    counts = (
        (outcome.rows_read, ingestion.rows_read),
        (outcome.rows_quarantined, ingestion.rows_quarantined),
    )
    return (ingestion.state, ingestion.reason) == (outcome.state, outcome.reason) and all(
        wanted is None or wanted == found for wanted, found in counts
    )


def describe_surprise(scenario: Scenario, ended: Sequence[Ingestion]) -> str:
    """What should have come of a scenario, and what did."""
    found = "; ".join(
        f"{each.object} is {each.state} {each.reason or ''} ({each.rows_read} rows read, "
        f"{each.rows_quarantined} quarantined): {each.detail}"
        for each in ended
    )
    return f"{scenario.name}: expected {list(scenario.outcomes)}, but {found}"


def take_back(user: StackUser, scenarios: Sequence[Scenario]) -> None:
    """Retract what an earlier demo has loaded, so that the same files are new again.

    A retracted file makes room for its copies, so this goes on until nothing of it is loaded. What
    is not the demo's stays.
    """
    names = {upload.object_name for each in scenarios for upload in each.uploads}
    folders = tuple(f"edge_telemetry/{device}/" for device in DEVICES)
    while True:
        own = [
            each
            for each in user.list_ingestions()
            if each["object"] in names or each["object"].startswith(folders)
        ]
        loaded = [e for e in own if e["state"] == "loaded" and not e["replaced_by"]]
        if not loaded:
            return
        for each in loaded:
            user.retract(each["id"])
        user.await_ends([each["id"] for each in own], _SECONDS)


# --- What came of it -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What the API says in the end."""

    ingestions: list[Answer]
    marts: list[Answer]
    digests: dict[str, str]
    rows: dict[str, int | None]
    refused: list[tuple[str, Answer]]

    def to_json(self) -> dict[str, Any]:
        """The content of `--json FILE`."""
        return {
            "ingestions": [{name: each[name] for name in JSON_FIELDS} for each in self.ingestions],
            "marts": [{"name": each["name"], "rows": each["rows"] or 0} for each in self.marts],
            "digests": self.digests,
        }


def gather_result(user: StackUser, ids: Sequence[str]) -> Result:
    """Ask the API for everything that the demo shows."""
    ingestions = [user.ingestion(each) for each in ids]
    loaded = [each for each in user.get("datasets")["datasets"] if each["loads"]]
    marts = [each["name"] for each in user.get("marts")["marts"]]
    refused = [
        (each["object"], record)
        for each in ingestions
        if each["rows_quarantined"]
        for record in user.get(f"ingestions/{each['id']}/quarantine", limit=_FEW)["rows"]
    ]
    return Result(
        ingestions=ingestions,
        marts=[user.get(f"marts/{name}", limit=_FEW) for name in marts],
        digests={each["name"]: user.digest(each["name"]) for each in loaded},
        rows={each["name"]: each["rows"] for each in loaded},
        refused=refused,
    )


def show_result(console: Console, result: Result) -> None:
    """The tables that the demo ends with."""
    rejected = [each for each in result.ingestions if each["state"] == "rejected"]
    built = [each for each in result.marts if each["builds"]]
    waiting = [each["name"] for each in result.marts if not each["builds"]]
    for table in (
        show_ingestions(result.ingestions),
        show_refusals(rejected, result.refused),
        *map(show_mart, built),
        show_digests(result.digests, result.rows),
    ):
        console.print(table)
        console.print()
    if waiting:
        console.print(f"Marts of which nothing was loaded: {', '.join(waiting)}")
    uris = [each["quality_uri"] for each in result.ingestions if each["quality_uri"]]
    console.print(f"Reports (quality.json, drift.json, lineage.json): {find_folder(uris)}")


def find_folder(uris: Sequence[str]) -> str:
    """What all addresses have in common, up to a slash."""
    return posixpath.commonprefix(uris).rpartition("/")[0] + "/"


# --- The command ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every scenario ended as it must."""
    given = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    interrupt_once()
    # A log or a pipe has no width of its own; the tables are made for this one.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    try:
        home = given.home or empty_home(ROOT / ".eventpulse" / f"demo-{given.lane}")
        stack = Stack(
            home,
            contracts=ROOT / "contracts",
            lane=given.lane,
            port=given.port,
            watch=Home(home).drop if given.keep else None,
        )
        return run_demo(stack, console, given.json, given.keep)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    except (HomeTaken, PortTaken, StartFailed, NotEnded) as error:
        console.print(str(error), markup=False)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """The options of the demo."""
    parser = argparse.ArgumentParser(prog="nox -s demo --", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    parser.add_argument("--lane", choices=DEMO_LANES, default="local", help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    parser.add_argument("--home", type=Path, help="folder of all data; a new one by default")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; any by default")
    return parser


def empty_home(path: Path) -> Path:
    """The demo's own home, without what an earlier run left. Raises HomeTaken."""
    with Home(path).held():
        for each in path.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name != "lock":
                each.unlink()
    return path


def run_demo(stack: Stack, console: Console, json_file: Path | None, keep: bool) -> int:
    """Play all scenarios on a stack and show what came of them; the exit code."""
    began = time.monotonic()
    with ExitStack() as running:
        with console.status(f"Starting a stack on {stack.home.path} …"):
            running.enter_context(stack)
        started = time.monotonic()
        user = StackUser(stack)
        scenarios = build_scenarios()
        take_back(user, scenarios)
        demo = Demo(user, console, scenarios)
        demo.play()
        user.await_marts(_SECONDS)
        result = gather_result(user, demo.ids)
        console.print()
        show_result(console, result)
        series = run_field(stack, console)
        console.print(show_series(series))
        demo.surprises += [f"{each.device} lost events" for each in series if not each.is_whole]
        if json_file is not None:
            json_file.write_text(json.dumps(result.to_json(), indent=1) + "\n")
        console.print(f"Data and logs: {stack.home.path}")
        now = time.monotonic()
        console.print(f"{now - began:.1f} s, of which {started - began:.1f} s to start the stack.")
        for surprise in demo.surprises:
            console.print(surprise, style="bold red", markup=False)
        if keep:
            console.print(f"\n{describe(stack)}", markup=False, soft_wrap=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 1 if demo.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
