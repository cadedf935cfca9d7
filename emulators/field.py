"""Two devices in a field, for the demo: one loses its network and its power, and loses nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from eventpulse.fleet.batches import Epoch, query_epochs
from eventpulse.fleet.devices import DeviceConfig
from eventpulse.fleet.seq_ranges import count_numbers
from eventpulse.local.simulated import SimulatedDevices
from eventpulse.local.stack import Stack

STEADY, UNLUCKY = "demo-device-1", "demo-device-2"
DEVICES = (STEADY, UNLUCKY)
CONFIG = DeviceConfig(heartbeat_seconds=1, seal_seconds=1)
READING_SECONDS = 0.1
FEW, MANY = 10, 30
WAIT_SECONDS = 120.0


class Relay:
    """A network to a server that can be cut: a TCP relay on this machine."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._is_cut = threading.Event()
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Drop what is connected, and whoever connects."""
        self._is_cut.set()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut.is_set():
                near.close()
                continue
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with self._lock:
            self._open.add(source)
        with suppress(OSError):
            while block := source.recv(1 << 16):
                sink.sendall(block)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()


@dataclass(frozen=True)
class Series:
    """What came of one device: events that it numbered, that arrived, and that are missing."""

    device: str
    starts: int
    numbered: int
    rows: int
    missing: int

    @property
    def is_whole(self) -> bool:
        return self.missing == 0 and self.rows == self.numbered > 0


def run_field(stack: Stack, console: Console) -> list[Series]:
    """Run both devices through an outage and a power cut; what came of them."""
    folder = stack.home.path / "devices"
    field = Field(stack, frozenset(list_epochs(stack)))
    with Relay(stack.url) as relay:
        devices = SimulatedDevices(
            stack.platform,
            stack.url,
            folder,
            list(DEVICES),
            seconds=READING_SECONDS,
            servers={UNLUCKY: relay.url},
            config=CONFIG,
        )
        with devices:
            for each in DEVICES:
                _await(f"{each} delivers", lambda name=each: field.count_landed(name) >= FEW)  # type: ignore[misc]
            relay.cut()
            console.print(f"{UNLUCKY} loses its network and samples on.")
            _await(f"{UNLUCKY} spools", lambda: count_spooled(devices, UNLUCKY) >= MANY)
            devices.kill(UNLUCKY)
            console.print(f"{UNLUCKY} loses its power with {MANY} events on its disk, and starts.")
            _await(f"{UNLUCKY} spools on", lambda: count_spooled(devices, UNLUCKY) >= 2 * MANY)
            due = field.count_landed(UNLUCKY) + count_spooled(devices, UNLUCKY)
            relay.mend()
            console.print(f"{UNLUCKY} is back.")
            _await(f"{UNLUCKY} delivers what it held", lambda: field.count_landed(UNLUCKY) >= due)
            for each in DEVICES:
                devices.stop(each)
    return field.await_series()


def list_epochs(stack: Stack, *devices: str) -> dict[str, Epoch]:
    """The epochs of the demo's devices, or of these."""
    heads = [
        head
        for device in devices or DEVICES
        for head in stack.platform.log.query(query_epochs(device), limit=200).heads
    ]
    return {head.stream: Epoch.model_validate(head.projection) for head in heads}


@dataclass(frozen=True)
class Field:
    """What the devices do in this run; `before` are the epochs of earlier ones."""

    stack: Stack
    before: frozenset[str]

    def epochs(self, device: str) -> list[Epoch]:
        found = list_epochs(self.stack, device).items()
        return [epoch for stream, epoch in found if stream not in self.before]

    def count_landed(self, device: str) -> int:
        return sum(count_numbers(each.landed) for each in self.epochs(device))

    def await_series(self) -> list[Series]:
        """Once the rows of all that landed are in the table."""
        found: list[Series] = []

        def is_loaded() -> bool:
            found[:] = [self.measure(each) for each in DEVICES]
            return all(each.rows >= each.numbered for each in found)

        _await("the rows are loaded", is_loaded)
        return found

    def measure(self, device: str) -> Series:
        epochs = self.epochs(device)
        named = ", ".join(f"'{each.epoch}'" for each in epochs)
        of_device = f"WHERE device_id = '{device}' AND epoch IN ({named})"
        measure = self.stack.platform.warehouse.measure
        (rows,) = measure(
            "edge_telemetry", f"SELECT COUNT(*) AS n FROM curated.edge_telemetry {of_device}"
        )
        missing = f"SELECT SUM(missing) AS n FROM marts.device_gaps {of_device}"
        (gaps,) = measure("device_gaps", missing)
        return Series(
            device=device,
            starts=len(epochs),
            numbered=sum(each.known_last for each in epochs),
            rows=int(rows or 0),
            missing=int(gaps or 0) + sum(each.missing_count for each in epochs),
        )


def count_spooled(devices: SimulatedDevices, device: str) -> int:
    """What the device says that it holds."""
    path: Path = devices.state_of(device) / "status.json"
    try:
        return int(json.loads(path.read_text())["spool"]["events"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def show_series(series: list[Series]) -> Table:
    table = Table("device", "starts", "events numbered", "rows in the table", "missing")
    for each in series:
        numbers = (each.starts, each.numbered, each.rows, each.missing)
        table.add_row(each.device, *(f"{number:,}" for number in numbers))
    return table


def _await(what: str, holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.2)):
        if holds():
            return
        pause.wait(0.2)
    raise TimeoutError(f"waited {WAIT_SECONDS:g} s in vain: {what}")
