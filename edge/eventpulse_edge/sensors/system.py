"""The device itself: processor temperature, load, memory, disk, battery and radio, from sysfs and
procfs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from eventpulse_edge.sensors.sensor import Measurement, SensorError


class SystemSensor:
    """What a machine does not have is left out. `root`: where /proc and /sys are."""

    def __init__(self, *, root: Path = Path("/"), disk: Path = Path("/")) -> None:
        self._root = root
        self._disk = disk
        self._readers: dict[str, Callable[[], float | int | None]] = {
            "cpu_temperature": self._read_temperature,
            "load": self._read_load,
            "memory_used": self._read_memory,
            "disk_used": self._read_disk,
            "battery": self._read_battery,
            "rssi": self._read_rssi,
        }

    def read(self, now: float) -> Sequence[Measurement]:
        values: dict[object, object] = {}
        problems: list[str] = []
        for name, reader in self._readers.items():
            try:
                value = reader()
            except FileNotFoundError:
                continue
            except (OSError, ValueError, IndexError) as error:
                problems.append(f"{name}: {error}")
                continue
            if value is not None:
                values[name] = value
        if not values:
            raise SensorError("; ".join(problems) or f"nothing to read below {self._root}")
        return [Measurement(now, values)]

    def close(self) -> None:
        """Nothing to let go."""

    def _text(self, path: str) -> str:
        return (self._root / path).read_text(encoding="ascii", errors="replace")

    def _read_temperature(self) -> float:
        return round(int(self._text("sys/class/thermal/thermal_zone0/temp")) / 1000, 1)

    def _read_load(self) -> float:
        return float(self._text("proc/loadavg").split()[0])

    def _read_memory(self) -> float:
        lines = (line.split(":") for line in self._text("proc/meminfo").splitlines() if ":" in line)
        sizes = {name: int(rest.split()[0]) for name, rest in lines}
        total, free = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
        if not total:
            raise ValueError("no MemTotal in meminfo")
        return round(100 * (1 - free / total), 1)

    def _read_disk(self) -> float:
        status = os.statvfs(self._disk)
        return round(100 * (1 - status.f_bavail / status.f_blocks), 1)

    def _read_battery(self) -> float | None:
        supplies = self._root / "sys/class/power_supply"
        for supply in sorted(supplies.iterdir()):
            kind = supply / "type"
            if kind.exists() and kind.read_text().strip() == "Battery":
                return float((supply / "capacity").read_text())
        return None

    def _read_rssi(self) -> int | None:
        for line in self._text("proc/net/wireless").splitlines()[2:]:
            return round(float(line.split()[3].rstrip(".")))
        return None
