"""Bosch BME280 (and BMP280, without humidity) on an I²C bus.

Registers and formulas: Bosch, BME280 data sheet (BST-BME280-DS001), sections 4.2, 5.3 and 8.1.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from eventpulse_edge.sensors.sensor import Measurement, SensorError

_BME280, _BMP280 = 0x60, 0x58
_ID, _CONTROL_HUMIDITY, _STATUS, _CONTROL, _DATA = 0xD0, 0xF2, 0xF3, 0xF4, 0xF7
_CALIBRATION, _CALIBRATION_HUMIDITY = 0x88, 0xE1
_FORCED_ONCE = 0b001_001_01
"""Temperature and pressure once each, then sleep."""
_MEASURING = 0b1000
_SKIPPED = 0x80000
_POLLS = 20


class Bus(Protocol):
    """An I²C bus; every method may raise OSError."""

    def write(self, address: int, data: bytes) -> None: ...

    def read(self, address: int, register: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class LinuxBus:
    """/dev/i2c-<number>."""

    _SLAVE = 0x0703

    def __init__(self, number: int) -> None:
        self._descriptor = os.open(f"/dev/i2c-{number}", os.O_RDWR | os.O_CLOEXEC)

    def write(self, address: int, data: bytes) -> None:
        fcntl.ioctl(self._descriptor, self._SLAVE, address)
        os.write(self._descriptor, data)

    def read(self, address: int, register: int, length: int) -> bytes:
        self.write(address, bytes([register]))
        return os.read(self._descriptor, length)

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The chip's own constants, by the data sheet's names (dig_T1 …)."""

    t: tuple[int, int, int]
    p: tuple[int, int, int, int, int, int, int, int, int]
    h: tuple[int, int, int, int, int, int] | None


def compensate_temperature(raw: int, calibration: Calibration) -> float:
    """The fine temperature that the other formulas need; 5,120 of it are a degree Celsius."""
    t1, t2, t3 = calibration.t
    first = (raw / 16384 - t1 / 1024) * t2
    second = (raw / 131072 - t1 / 8192) ** 2 * t3
    return first + second


def compensate_pressure(raw: int, fine: float, calibration: Calibration) -> float | None:
    """In pascal; None when the constants make no sense."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = calibration.p
    first = fine / 2 - 64000
    second = first * first * p6 / 32768 + first * p5 * 2
    second = second / 4 + p4 * 65536
    first = (p3 * first * first / 524288 + p2 * first) / 524288
    first = (1 + first / 32768) * p1
    if first == 0:
        return None
    pressure = (1048576 - raw - second / 4096) * 6250 / first
    first = p9 * pressure * pressure / 2147483648
    second = pressure * p8 / 32768
    return pressure + (first + second + p7) / 16


def compensate_humidity(raw: int, fine: float, calibration: Calibration) -> float | None:
    """In percent; None for a chip that measures none."""
    if calibration.h is None:
        return None
    h1, h2, h3, h4, h5, h6 = calibration.h
    humidity = fine - 76800
    humidity = (raw - (h4 * 64 + h5 / 16384 * humidity)) * (
        h2 / 65536 * (1 + h6 / 67108864 * humidity * (1 + h3 / 67108864 * humidity))
    )
    humidity *= 1 - h1 * humidity / 524288
    return min(max(humidity, 0.0), 100.0)


class Bme280Sensor:
    """One chip. The bus is opened at the first reading, and anew after a fault."""

    def __init__(
        self,
        *,
        bus: int = 1,
        address: int = 0x76,
        open_bus: Callable[[int], Bus] = LinuxBus,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._number = bus
        self._address = address
        self._open_bus = open_bus
        self._sleep = sleep
        self._bus: Bus | None = None
        self._calibration: Calibration | None = None

    def read(self, now: float) -> Sequence[Measurement]:
        try:
            bus = self._bus = self._bus or self._open_bus(self._number)
            calibration = self._calibration = self._calibration or self._read_calibration(bus)
            values = self._measure(bus, calibration)
        except OSError as error:
            self.close()
            where = f"BME280 at address {self._address:#04x} of /dev/i2c-{self._number}"
            raise SensorError(f"{where}: {error.strerror or error}") from error
        return [Measurement(now, values)]

    def close(self) -> None:
        """Let go of the bus."""
        bus, self._bus, self._calibration = self._bus, None, None
        if bus is not None:
            bus.close()

    def _measure(self, bus: Bus, calibration: Calibration) -> dict[object, object]:
        if calibration.h is not None:
            bus.write(self._address, bytes([_CONTROL_HUMIDITY, 1]))
        bus.write(self._address, bytes([_CONTROL, _FORCED_ONCE]))
        for _ in range(_POLLS):
            self._sleep(0.005)  # the chip has no interrupt line: it is asked
            if not bus.read(self._address, _STATUS, 1)[0] & _MEASURING:
                break
        else:
            raise SensorError("BME280: the measurement does not end")
        data = bus.read(self._address, _DATA, 8 if calibration.h is not None else 6)
        raw_pressure = data[0] << 12 | data[1] << 4 | data[2] >> 4
        raw_temperature = data[3] << 12 | data[4] << 4 | data[5] >> 4
        if raw_temperature == _SKIPPED:
            raise SensorError("BME280: it measured nothing (reset, or out of power)")
        fine = compensate_temperature(raw_temperature, calibration)
        values: dict[object, object] = {"temperature": round(fine / 5120, 2)}
        pressure = compensate_pressure(raw_pressure, fine, calibration)
        if pressure is not None:
            values["pressure"] = round(pressure / 100, 2)
        if calibration.h is not None:
            humidity = compensate_humidity(data[6] << 8 | data[7], fine, calibration)
            assert humidity is not None
            values["humidity"] = round(humidity, 2)
        return values

    def _read_calibration(self, bus: Bus) -> Calibration:
        chip = bus.read(self._address, _ID, 1)[0]
        if chip not in (_BME280, _BMP280):
            raise SensorError(f"the chip at {self._address:#04x} is no BME280: its id is {chip:#x}")
        block = bus.read(self._address, _CALIBRATION, 26)
        t1, t2, t3, *p = struct.unpack("<HhhHhhhhhhhh", block[:24])
        humidity = None
        if chip == _BME280:
            rest = bus.read(self._address, _CALIBRATION_HUMIDITY, 7)
            h2, h3, middle_high, middle, middle_low, h6 = struct.unpack("<hBbBbb", rest)
            h4 = middle_high << 4 | middle & 0x0F
            h5 = middle_low << 4 | middle >> 4
            humidity = (block[25], h2, h3, h4, h5, h6)
        return Calibration(
            (t1, t2, t3), (p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]), humidity
        )
