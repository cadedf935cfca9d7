"""A device and a server in one process, driven step by step: no pause, and a manual clock."""

from __future__ import annotations

import random
from pathlib import Path

from eventpulse_edge.backoff import Backoff
from eventpulse_edge.clock import Timeline
from eventpulse_edge.enrolment import enroll
from eventpulse_edge.events import Event
from eventpulse_edge.files import AppendFile, OsFiles
from eventpulse_edge.heartbeat import ContractCache
from eventpulse_edge.identity import IdentityStore
from eventpulse_edge.rotation import Credentials
from eventpulse_edge.server import Server
from eventpulse_edge.spool import Limits, Spool
from eventpulse_edge.uploader import Uploader
from tests.edge.clocks import ManualClock
from tests.edge.fake_server import FakeServer

DEVICE = "station-0001"
CODE = "claim-me"


class UnsyncedFiles(OsFiles):
    """The test's own disk without waiting for it, where power cuts are not the matter."""

    def create(self, path: Path, *, reserve: bool = False) -> AppendFile:
        return _UnsyncedFile(super().create(path, reserve=reserve))

    def sync_folder(self, path: Path) -> None:
        """Nothing to wait for."""


class _UnsyncedFile:
    def __init__(self, file: AppendFile) -> None:
        self.write = file.write
        self.close = file.close

    def sync(self) -> None:
        """Nothing to wait for."""


class Station:
    """An enrolled device whose spool is on the test's own disk."""

    def __init__(self, server: FakeServer, clock: ManualClock, folder: Path) -> None:
        self.server = server
        self.clock = clock
        self.folder = folder
        self.limits = Limits(segment_events=10)
        self.store = IdentityStore(folder / "identity")
        self.contracts = ContractCache(folder / "contract.json")
        self.start()

    def start(self) -> None:
        """A new run of the agent."""
        self.timeline = Timeline(self.clock)
        self.spool = Spool(
            self.folder / "spool",
            UnsyncedFiles(),
            self.timeline,
            device=DEVICE,
            firmware="0.1.0",
            limits=self.limits,
        )
        self.spool.contract = self.contracts.contract
        self.client = Server(self.server.url, self.timeline, credentials=Credentials(self.store))
        self.uploader = Uploader(self.spool, self.client, backoff=Backoff(random.Random(1)))

    def enroll(self) -> None:
        self.server.claim_codes[CODE] = DEVICE
        enroll(
            self.client,
            self.timeline,
            self.store,
            self.contracts,
            device=DEVICE,
            claim_code=CODE,
        )
        self.spool.contract = self.contracts.contract

    def put(self, count: int = 1, *, alarm: bool = False) -> None:
        for _ in range(count):
            self.clock.advance(1)
            values = {"counter": self.spool.state().next_seq}
            self.spool.put(Event("reading", self.clock.mono(), values, "s", alarm))

    def seal(self) -> None:
        self.spool.commit()
        self.spool.flush()
        self.spool.maintain()

    def upload(self, most: int = 100) -> list[float]:
        """Let the uploader work until nothing waits; the pauses that it asked for."""
        pauses = []
        for _ in range(most):
            self.spool.maintain()
            pause = self.uploader.step()
            if pause > 0:
                if self.spool.state().events == 0:
                    break
                pauses.append(pause)
                self.clock.advance(pause)
        return pauses

    def counters(self) -> list[int]:
        return sorted(row["counter"] for row in self.server.cloud.readings().values())
