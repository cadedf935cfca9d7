"""The device's spool against SQLite, and the agent's memory with a full one."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from eventpulse_edge.batches import COLUMNS, LEVEL, Batch, encode_row, hash_sha256, make_row
from eventpulse_edge.clock import Reference, SystemClock, Timeline, format_time, place
from eventpulse_edge.events import Event, Numbered
from eventpulse_edge.files import OsFiles, disk_size, write_atomically
from eventpulse_edge.layout import Layout
from eventpulse_edge.segments import Header, Note, encode_event
from eventpulse_edge.sensors.sensor import Measurement
from eventpulse_edge.sensors.simulated import SimulatedSensor
from eventpulse_edge.spool import Spool
from tests.bench.figures import Figure

if TYPE_CHECKING:
    from tests.bench.benches import Options

GROUPS = {1: 1_000, 10: 6_000, 100: 30_000}
"""Events per commit, and how many events are measured with it."""
SLICES = 50
"""Ours and SQLite take turns so often, so that a disk whose speed drifts slows both."""
MEMORY_BAR_MIB = 64
FULL_SPOOL = 512 << 20
ROOT = Path(__file__).parents[2]


@dataclass
class Cost:
    """Seconds, and bytes that went to the disk (/proc/self/io: without what the file system writes
    for itself); one entry a turn."""

    seconds: list[float] = field(default_factory=list)
    written: list[int] = field(default_factory=list)

    def measure(self, work: Callable[[], None]) -> None:
        before, began = _written(), time.perf_counter()
        work()
        self.seconds.append(time.perf_counter() - began)
        self.written.append(_written() - before)


class Contender(Protocol):
    def commit(self, events: Sequence[Event]) -> None:
        """Make them durable, with one commit."""
        ...

    def pack(self) -> None:
        """Make the file to be uploaded of all that was committed, and let go of them."""
        ...


def bench_edge_spool(options: Options) -> list[Figure]:
    """Durable events a second and bytes written per event against SQLite; and with the file that
    is uploaded made of them."""
    figures = []
    for group, count in GROUPS.items():
        events = list(make_events(count))
        commits, packs = (Cost(), Cost()), (Cost(), Cost())
        folder = options.folder / "edge-spool"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        contenders: tuple[Contender, Contender] = OurSpool(folder), SqliteSpool(folder)
        size = count // SLICES
        for turn in range(SLICES):
            slice_ = events[turn * size : (turn + 1) * size]
            groups = [slice_[at : at + group] for at in range(0, size, group)]
            order = (0, 1) if turn % 2 else (1, 0)
            for which in order:
                commits[which].measure(partial(_commit_all, contenders[which], groups))
        for which in (0, 1):
            packs[which].measure(contenders[which].pack)
        shutil.rmtree(folder)
        name = f"edge-spool, {group} a commit"
        ratios = [a / b for a, b in zip(commits[0].seconds, commits[1].seconds, strict=True)]
        ours, theirs = (sum(cost.seconds) / count for cost in commits)
        figures.append(
            _figure(name, "time per durable event", "s", ours, theirs, statistics.median(ratios))
        )
        ours, theirs = (
            (sum(commits[which].seconds) + packs[which].seconds[0]) / count for which in (0, 1)
        )
        figures.append(
            _figure(name, "the same, and packed for the upload", "s", ours, theirs, ours / theirs)
        )
        ours, theirs = (sum(cost.written) / count for cost in commits)
        figures.append(_figure(name, "bytes written", "B", ours, theirs, ours / theirs))
        ours, theirs = (
            (sum(commits[which].written) + packs[which].written[0]) / count for which in (0, 1)
        )
        figures.append(_figure(name, "bytes written, packed too", "B", ours, theirs, ours / theirs))
    return figures


def _commit_all(contender: Contender, groups: Sequence[Sequence[Event]]) -> None:
    for each in groups:
        contender.commit(each)


def _figure(
    bench: str, name: str, unit: Literal["s", "B"], ours: float, theirs: float, ratio: float
) -> Figure:
    note = f"{1 / ours:,.0f} events/s against {1 / theirs:,.0f}" if unit == "s" else ""
    return Figure(
        bench, name, ours, unit, "SQLite, WAL, FULL", theirs, bar=1.0, note=note, ratio=ratio
    )


def bench_edge_memory(options: Options) -> list[Figure]:
    """Peak memory of the agent with a full spool of the smallest files, while it delivers."""
    folder = options.folder / "edge-memory"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    files = fill_spool(folder / "state" / "spool", FULL_SPOOL, 3_000)
    peak, delivered = measure_agent(folder, 20.0)
    shutil.rmtree(folder)
    return [
        Figure(
            "edge-memory",
            f"peak with {files:,} files that fill 512 MiB",
            peak / 2**20,
            "MiB",
            bar=MEMORY_BAR_MIB,
            note=f"{delivered} batches delivered; {time.perf_counter() - began:.0f} s",
        )
    ]


# --- The spool and SQLite ------------------------------------------------------------------------


def make_events(count: int) -> Iterator[Event]:
    sensor = SimulatedSensor(seed=1)
    for number in range(count):
        (measurement,) = sensor.read(number * 10.0)
        assert isinstance(measurement, Measurement)
        values = {str(name): value for name, value in measurement.values.items()}
        yield Event("reading", measurement.mono, values, "air")  # type: ignore[arg-type]


class OurSpool:
    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        timeline = Timeline(clock)
        timeline.observe(Reference(clock.mono(), clock.wall(), 0.01))
        self._spool = Spool(
            folder / "spool", OsFiles(), timeline, device="station-0001", firmware="0.1.0"
        )
        self._spool.open()

    def commit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._spool.put(event)
        self._spool.commit()

    def pack(self) -> None:
        self._spool.flush()
        self._spool.maintain()
        assert self._spool.state().batches == 1


class SqliteSpool:
    """What a spool in SQLite would do at least, with the very bytes that our records hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = sqlite3.connect(folder / "spool.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, event BLOB NOT NULL)"
        )
        self._seq = 0

    def commit(self, events: Sequence[Event]) -> None:
        rows = [(seq, encode_event(seq, each)) for seq, each in enumerate(events, self._seq + 1)]
        self._seq += len(rows)
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO events VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def pack(self) -> None:
        """The same rows as our batch has, then as gzip in a file."""
        header = Header(
            "station-0001", "00000000000000aa", 1, None, "", "0.1.0", 0.0, Note(0, 0, None)
        )
        reference = Reference(0.0, 1_772_352_000.0, 0.01)
        lines = []
        for (payload,) in self._connection.execute("SELECT event FROM events ORDER BY seq"):
            seq, mono, _, sensor, values = json.loads(payload.decode())
            numbered = Numbered(seq, Event("reading", mono, values, sensor))
            lines.append(
                encode_row(make_row(numbered, header, place(mono, reference, 0.0), COLUMNS))
            )
        write_atomically(
            OsFiles(),
            self._folder / "batch.ndjson.gz",
            gzip.compress(b"".join(lines), LEVEL, mtime=0),
        )
        self._connection.execute("DELETE FROM events")
        self._connection.close()


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


# --- Memory --------------------------------------------------------------------------------------


def fill_spool(root: Path, total: int, batch_bytes: int) -> int:
    """Make a spool of batches that take `total` on disk, `batch_bytes` of gzip each at least; how
    many."""
    layout = Layout(root)
    number = size = 0
    epoch = "00000000000000aa"
    base = {"kind": "reading", "recorded_at": format_time(1_772_352_000.0), "firmware": "0.1.0"}
    while size < total:
        number += 1
        noise = os.urandom(batch_bytes // 2).hex()
        row = encode_row(
            {
                **base,
                "event_id": f"station-0001/{epoch}/{number}",
                "device_id": "station-0001",
                "epoch": epoch,
                "seq": number,
                "noise": noise,
            }
        )
        content = gzip.compress(row, 1, mtime=0)
        batch = Batch(number, epoch, number, number, 1, False, None, hash_sha256(content))
        path = layout.batch_path(batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        size += disk_size(len(content))
    return number


def measure_agent(folder: Path, seconds: float) -> tuple[int, int]:
    """Peak memory in bytes of a real agent on this folder, and how many batches it delivered.

    The server runs in this process; the agent is given a second and more to recover.
    """
    from tests.edge.fake_server import FakeServer

    with FakeServer() as server:
        server.claim_codes["code"] = "station-0001"
        config = folder / "config.toml"
        config.write_text(
            f'device = "station-0001"\nserver = "{server.url}"\nstate = "{folder}/state"\n'
            '[[sensors]]\ntype = "simulated"\ninterval = 1\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "eventpulse_edge.cli", "--config", str(config), "run"],
            env={**os.environ, "EVENTPULSE_EDGE_CLAIM_CODE": "code"},
            stderr=subprocess.DEVNULL,
        )
        ended = threading.Event()
        began = time.monotonic()
        while len(server.cloud.order) < 20 and time.monotonic() - began < 300:
            ended.wait(0.1)
        ended.wait(seconds)
        peak = _peak(process.pid)
        process.terminate()
        process.wait(60)
        return peak, len(server.cloud.order)


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
