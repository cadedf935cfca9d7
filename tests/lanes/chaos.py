"""Real agents and real functions, killed at random moments under load; then the books are checked.

    python -m tests.lanes.chaos --kills 1000 --seed 1

Every event that a spool accepted is, at the end, a row of the curated table, or still spooled, or
in a gap that says so; each exactly once.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import signal
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from eventpulse.fleet.devices import DeviceConfig
from eventpulse.local.stack import Stack
from eventpulse.pipeline.fleet.enrolment import create_device
from eventpulse.pipeline.registry import load_contract
from eventpulse.platform import Platform
from eventpulse_edge.inspection import inspect_spool
from tests.edge.killing import KilledAgent
from tests.rest import list_unfinished
from tests.waiting import wait_until

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 300.0
MEAN_SECONDS = 0.8
AGENTS_SHARE = 0.7
SMALL_CAP = 64 << 10
"""Of the first device's spool, which drops readings whenever it cannot send for a while."""

Numbers = dict[tuple[str, str], set[int]]
"""Sequence numbers by device and epoch."""


@dataclass(frozen=True)
class Books:
    """How many events the spools accepted, and where they are; `lost` are nowhere, `doubled` are
    more than one row. `kills` are of agents and of the server's processes."""

    kills: int
    accepted: int
    curated: int
    spooled: int
    given_up: int
    lost: int
    doubled: int

    @property
    def balance(self) -> bool:
        return self.lost == 0 == self.doubled


def run_chaos(folder: Path, *, kills: int, seed: int, devices: int = 2) -> Books:
    """Kill at `kills` random moments: seven of ten times an agent, else what serves it."""
    with ExitStack() as running:
        stack = running.enter_context(
            Stack(
                folder / "home",
                contracts=ROOT / "contracts",
                variables={
                    "EVENTPULSE_DEVICE_RATE": "1000000",
                    "EVENTPULSE_LOG_LEVEL": "WARNING",
                    # Each kill of a server is an attempt of the steps that it was at.
                    "EVENTPULSE_MAX_ATTEMPTS": "1000",
                },
                sweep_seconds=2,
            )
        )
        caps = [SMALL_CAP, *[512 << 20] * (devices - 1)]
        agents = [make_agent(stack, folder, number, cap) for number, cap in enumerate(caps, 1)]
        for agent in agents:
            running.callback(end, agent)
            agent.start()
        Killer(random.Random(seed), stack, agents).kill(kills)
        drain(agents)
        await_rest(lambda: len(list_unfinished(stack.platform)))
        return keep_books(stack.platform, agents, kills)


class Killer:
    """Kills whoever is next after a pause that knows nothing of what went before: so also what has
    just begun, before it did anything at all.

    A whole server takes its workers along and is away for seconds; one worker only its own calls; a
    database whatever was under way.
    """

    def __init__(self, draw: random.Random, stack: Stack, agents: Sequence[KilledAgent]) -> None:
        self._draw = draw
        self._stack = stack
        self._agents = agents
        self._killed: set[int] = set()

    def kill(self, kills: int) -> None:
        pause = threading.Event()
        for number in range(kills):
            if number % 100 == 99:
                logger.warning("%d kills", number + 1)
            pause.wait(self._draw.expovariate(1 / MEAN_SECONDS))
            if self._draw.random() < AGENTS_SHARE:
                agent = self._draw.choice(self._agents)
                agent.kill()
                agent.start()
                continue
            finders = (self._find_server, self._find_worker, self._find_database)
            (find,) = self._draw.choices(finders, (4, 5, 1))
            wait_until(lambda find=find: self._end(find()), "nobody serves, and nobody will")

    def _find_server(self) -> int:
        return self._stack.find_process("functions")

    def _find_database(self) -> int:
        return self._stack.find_process("postgres")

    def _find_worker(self) -> int:
        """One of the server's children; 0 when it has none yet."""
        server = self._find_server()
        try:
            workers = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        except FileNotFoundError:
            return 0
        return int(self._draw.choice(workers)) if workers else 0

    def _end(self, process: int) -> bool:
        """Whether it lived until now, and was killed for the first time."""
        if not process or process in self._killed:
            return False
        self._killed.add(process)
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def make_agent(stack: Stack, folder: Path, number: int, cap: int) -> KilledAgent:
    name = f"chaos-{number}"
    code = create_device(stack.platform, name, "", DeviceConfig()).code
    return KilledAgent(folder / name, stack.url, device=name, claim_code=code, cap=cap)


def end(agent: KilledAgent) -> None:
    if agent.process is not None and agent.process.poll() is None:
        agent.process.kill()
        agent.process.wait()


def drain(agents: Sequence[KilledAgent]) -> None:
    """Let agents that sample next to nothing deliver what they hold, and end them."""
    for agent in agents:
        agent.await_acceptance(random.Random(0), timeout=120)
        assert agent.stop() == 0
        config = agent.folder / "config.toml"
        config.write_text(re.sub(r"interval = [0-9.]+", "interval = 3600", config.read_text()))
        agent.start()
    await_rest(lambda: max(count(numbers_spooled([each])) for each in agents), most=4)
    for agent in agents:
        assert agent.stop() == 0


def await_rest(measure: Callable[[], int], *, most: int = 0) -> None:
    """Until there is no more than that; it may take as long as it gets less."""
    least, deadline = measure(), time.monotonic() + SETTLE_SECONDS
    while (left := measure()) > most:
        if left < least:
            least, deadline = left, time.monotonic() + SETTLE_SECONDS
        assert time.monotonic() < deadline, f"{left} remain, and it never gets less"
        time.sleep(0.2)


# --- Books ---------------------------------------------------------------------------------------


def keep_books(platform: Platform, agents: Sequence[KilledAgent], kills: int) -> Books:
    rows, curated, given_up = read_curated(platform)
    spooled = numbers_spooled(agents)
    found: Counter[str] = Counter()
    for agent in agents:
        for epoch, last in agent.accepted().items():
            key, left = (agent.device, epoch), set(range(1, last + 1))
            found["accepted"] += len(left)
            for name, numbers in (("curated", curated), ("spooled", spooled), ("gone", given_up)):
                found[name] += len(left & numbers[key])
                left -= numbers[key]
            found["lost"] += len(left)
    return Books(
        kills=kills,
        accepted=found["accepted"],
        curated=found["curated"],
        spooled=found["spooled"],
        given_up=found["gone"],
        lost=found["lost"],
        doubled=rows - count(curated),
    )


def read_curated(platform: Platform) -> tuple[int, Numbers, Numbers]:
    """How many rows there are, their numbers, and the numbers that gaps speak of."""
    wanted = {"device_id", "epoch", "seq", "kind", "gap_epoch", "gap_first", "gap_last"}
    columns = load_contract(platform, "edge_telemetry", None).table().columns
    batches = platform.warehouse.read_table(
        "curated", "edge_telemetry", [each for each in columns if each.name in wanted]
    )
    rows = 0
    curated: Numbers = defaultdict(set)
    given_up: Numbers = defaultdict(set)
    for batch in batches:
        for row in batch.to_pylist():
            rows += 1
            curated[row["device_id"], row["epoch"]].add(row["seq"])
            if row["kind"] == "gap":
                gone = range(row["gap_first"], row["gap_last"] + 1)
                given_up[row["device_id"], row["gap_epoch"]].update(gone)
    return rows, curated, given_up


def numbers_spooled(agents: Sequence[KilledAgent]) -> Numbers:
    spooled: Numbers = defaultdict(set)
    for agent in agents:
        for file in inspect_spool(agent.folder / "state" / "spool"):
            if file.last is not None:
                spooled[agent.device, file.epoch].update(range(file.first, file.last + 1))
    return spooled


def count(numbers: Numbers) -> int:
    return sum(map(len, numbers.values()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s chaos --", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--devices", type=int, default=3)
    given = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        books = run_chaos(Path(folder), kills=given.kills, seed=given.seed, devices=given.devices)
    print(f"{books} in {time.monotonic() - start:.0f} s")
    if not books.balance:
        raise SystemExit("the books do not balance")


if __name__ == "__main__":
    main()
