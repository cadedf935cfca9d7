"""Dallas DS18B20 on the 1-wire bus, as the kernel's w1_therm driver shows it in sysfs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from eventpulse_edge.sensors.sensor import Measurement, SensorError

_READING = re.compile(r"t=(-?\d+)\s*$")
POWER_ON = 85_000
"""What the register holds before the first conversion, in thousandths of a degree."""
ABSENT = -127_000


class Ds18b20Sensor:
    """One thermometer; `device` (28-…) may be left out when there is only one."""

    def __init__(
        self, *, device: str | None = None, column: str = "temperature", root: Path = Path("/")
    ) -> None:
        self._device = device
        self._column = column
        self._bus = root / "sys/bus/w1/devices"

    def read(self, now: float) -> Sequence[Measurement]:
        path = self._find() / "w1_slave"
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise SensorError(f"{path}: {error.strerror}") from error
        first, _, second = text.strip().partition("\n")
        found = _READING.search(second)
        if not first.endswith("YES"):
            raise SensorError(f"{path}: the checksum of the reading is wrong (a loose wire?)")
        if found is None:
            raise SensorError(f"{path}: holds no reading: {text!r}")
        thousandths = int(found[1])
        if thousandths in (POWER_ON, ABSENT):
            raise SensorError(
                f"{path}: {thousandths / 1000} °C is what an unpowered sensor answers"
            )
        return [Measurement(now, {self._column: round(thousandths / 1000, 3)})]

    def close(self) -> None:
        """Nothing to let go."""

    def _find(self) -> Path:
        if self._device is not None:
            return self._bus / self._device
        found = sorted(self._bus.glob("28-*"))
        if len(found) != 1:
            names = ", ".join(each.name for each in found) or "none"
            raise SensorError(f"{self._bus}: one DS18B20 expected, found {names}; name the device")
        return found[0]
