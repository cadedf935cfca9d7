"""Sensors against recorded trees, a fake bus, and real programs."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from eventpulse_edge.contract import parse_contract
from eventpulse_edge.sensors.bme280 import (
    Bme280Sensor,
    Calibration,
    compensate_humidity,
    compensate_pressure,
    compensate_temperature,
)
from eventpulse_edge.sensors.ds18b20 import Ds18b20Sensor
from eventpulse_edge.sensors.program import ProgramSensor
from eventpulse_edge.sensors.sensor import Measurement, SensorError
from eventpulse_edge.sensors.simulated import SimulatedSensor
from eventpulse_edge.sensors.system import SystemSensor

# --- Simulated -----------------------------------------------------------------------------------


def simulate(count: int, **options: float) -> list[object]:
    sensor = SimulatedSensor(**options)  # type: ignore[arg-type]
    found: list[object] = []
    for minute in range(count):
        try:
            found.append(sensor.read(minute * 60.0)[0].values)  # type: ignore[union-attr]
        except SensorError as error:
            found.append(str(error))
    return found


def test_the_same_seed_measures_the_same_and_another_something_else() -> None:
    assert simulate(200, seed=1, faults=0.1) == simulate(200, seed=1, faults=0.1)
    assert simulate(200, seed=1) != simulate(200, seed=2)


def test_days_are_warmer_than_nights_and_batteries_stay_in_range() -> None:
    day = simulate(3 * 1440, seed=4)
    noon = [v["temperature"] for v in day[14 * 60 : 16 * 60]]  # type: ignore[index]
    night = [v["temperature"] for v in day[2 * 60 : 4 * 60]]  # type: ignore[index]
    assert min(noon) > max(night) + 5
    assert all(3 <= v["battery"] <= 100 for v in day)  # type: ignore[index]
    assert all(900 < v["pressure"] < 1100 for v in day)  # type: ignore[index]


def test_faults_come_in_every_kind_and_are_what_the_contract_finds() -> None:
    found = simulate(2_000, seed=9, faults=0.2)
    assert any(isinstance(each, str) for each in found)
    contract = parse_contract(
        {
            "version": "1",
            "properties": [
                {
                    "name": "temperature",
                    "logicalType": "number",
                    "logicalTypeOptions": {"minimum": -60, "maximum": 85},
                },
                {"name": "humidity", "logicalType": "number"},
            ],
        }
    )
    problems = [
        p for each in found if isinstance(each, dict) for p in contract.check(each).problems
    ]
    assert any(each.startswith("temperature=999.9") for each in problems)
    assert any(each.startswith("humidity='n/a'") for each in problems)
    assert len(problems) < 2_000 * 0.2


# --- System --------------------------------------------------------------------------------------

PI = {
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    "proc/loadavg": "0.42 0.30 0.21 1/123 4567\n",
    "proc/meminfo": "MemTotal:         948304 kB\nMemFree: 100 kB\nMemAvailable:     711228 kB\n",
    "proc/net/wireless": (
        "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
        " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
        " wlan0: 0000   53.  -57.  -256        0      0      0      3      0        0\n"
    ),
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/capacity": "87\n",
}


def grow(root: Path, tree: dict[str, str]) -> Path:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def values(found: object) -> dict[object, object]:
    (measurement,) = found  # type: ignore[misc]
    assert isinstance(measurement, Measurement)
    return dict(measurement.values)


def test_a_raspberry_pi_is_read_from_its_files(tmp_path: Path) -> None:
    found = values(SystemSensor(root=grow(tmp_path, PI), disk=tmp_path).read(5.0))
    assert 0 <= float(str(found.pop("disk_used"))) <= 100
    assert found == {
        "cpu_temperature": 48.3,
        "load": 0.42,
        "memory_used": 25.0,
        "battery": 87.0,
        "rssi": -57,
    }


def test_what_a_machine_does_not_have_is_left_out(tmp_path: Path) -> None:
    grow(tmp_path, {"proc/loadavg": PI["proc/loadavg"], "proc/meminfo": "nonsense"})
    found = values(SystemSensor(root=tmp_path, disk=tmp_path).read(5.0))
    assert set(found) == {"load", "disk_used"}
    with pytest.raises(SensorError, match="nothing to read"):
        SystemSensor(root=tmp_path / "none", disk=tmp_path / "none").read(5.0)


def test_this_machine_can_be_read() -> None:
    assert {"load", "memory_used", "disk_used"} <= set(values(SystemSensor().read(1.0)))


# --- DS18B20 -------------------------------------------------------------------------------------

GOOD = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"


def bus(tmp_path: Path, **devices: str) -> Path:
    return grow(
        tmp_path,
        {f"sys/bus/w1/devices/28-{name}/w1_slave": text for name, text in devices.items()},
    )


def test_a_thermometer_is_read_from_sysfs(tmp_path: Path) -> None:
    root = bus(tmp_path, a=GOOD)
    assert values(Ds18b20Sensor(root=root).read(1.0)) == {"temperature": 23.125}
    negative = GOOD.replace("t=23125", "t=-1062")
    root = bus(tmp_path, a=negative)
    sensor = Ds18b20Sensor(root=root, device="28-a", column="soil")
    assert values(sensor.read(1.0)) == {"soil": -1.062}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("YES", "NO"), "checksum"),
        (GOOD.replace("t=23125", "t=85000"), "unpowered"),
        (GOOD.replace("t=23125", "t=-127000"), "unpowered"),
        ("x : crc=57 YES\n", "no reading"),
        ("", "checksum"),
    ],
)
def test_a_bad_reading_is_an_error_that_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        Ds18b20Sensor(root=bus(tmp_path, a=text)).read(1.0)


def test_two_thermometers_need_a_name_and_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="found none"):
        Ds18b20Sensor(root=tmp_path).read(1.0)
    root = bus(tmp_path, a=GOOD, b=GOOD)
    with pytest.raises(SensorError, match="28-a, 28-b"):
        Ds18b20Sensor(root=root).read(1.0)
    with pytest.raises(SensorError, match="No such file"):
        Ds18b20Sensor(root=root, device="28-c").read(1.0)


# --- BME280 --------------------------------------------------------------------------------------

SHEET = Calibration(
    (27504, 26435, -1000),
    (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000),
    (75, 362, 0, 311, 50, 30),
)
"""T and P are the example of Bosch's data sheet (BMP280, section 3.12)."""


def test_the_example_of_the_data_sheet_comes_out_right() -> None:
    fine = compensate_temperature(519888, SHEET)
    assert fine / 5120 == pytest.approx(25.08, abs=0.005)
    pressure = compensate_pressure(415148, fine, SHEET)
    assert pressure == pytest.approx(100653.27, abs=0.5)


def humidity_in_integers(raw: int, fine: int, calibration: Calibration) -> float:
    """The data sheet's other formula, in 32-bit integers (BME280, section 4.2.3)."""
    assert calibration.h is not None
    h1, h2, h3, h4, h5, h6 = calibration.h
    v = fine - 76800
    v = (((raw << 14) - (h4 << 20) - h5 * v + 16384) >> 15) * (
        ((((((v * h6) >> 10) * (((v * h3) >> 11) + 32768)) >> 10) + 2097152) * h2 + 8192) >> 14
    )
    v = v - (((((v >> 15) * (v >> 15)) >> 7) * h1) >> 4)
    return min(max(v, 0), 419430400) / 4194304


@pytest.mark.parametrize("raw", [15_000, 22_000, 28_000, 33_000, 45_000, 65_000])
@pytest.mark.parametrize("fine", [0, 64_000, 128_422, 204_800])
def test_both_formulas_of_the_data_sheet_give_one_humidity(raw: int, fine: int) -> None:
    humidity = compensate_humidity(raw, fine, SHEET)
    assert humidity == pytest.approx(humidity_in_integers(raw, fine, SHEET), abs=0.1)


class FakeBus:
    """A chip's registers; `faults` are raised one per access."""

    def __init__(self, chip: int = 0x60) -> None:
        assert SHEET.h is not None
        h1, h2, h3, h4, h5, h6 = SHEET.h
        self.registers = bytearray(256)
        self.registers[0xD0] = chip
        self.registers[0x88:0xA0] = struct.pack("<HhhHhhhhhhhh", *SHEET.t, *SHEET.p)
        self.registers[0xA1] = h1
        self.registers[0xE1:0xE8] = struct.pack(
            "<hBbBbb", h2, h3, h4 >> 4, (h4 & 0xF) | (h5 & 0xF) << 4, h5 >> 4, h6
        )
        for at, raw in ((0xF7, 415148), (0xFA, 519888)):
            self.registers[at : at + 3] = bytes((raw >> 12, raw >> 4 & 0xFF, (raw & 0xF) << 4))
        self.registers[0xFD:0xFF] = (28_000).to_bytes(2)
        self.busy = 2
        self.faults: list[OSError] = []
        self.written: list[bytes] = []
        self.closed = False

    def write(self, address: int, data: bytes) -> None:
        self._access(address)
        self.written.append(data)

    def read(self, address: int, register: int, length: int) -> bytes:
        self._access(address)
        if register == 0xF3:
            self.busy -= 1
            return bytes([0b1000 if self.busy >= 0 else 0])
        return bytes(self.registers[register : register + length])

    def close(self) -> None:
        self.closed = True

    def _access(self, address: int) -> None:
        if self.faults:
            raise self.faults.pop(0)
        if address != 0x76:
            raise OSError(121, "Remote I/O error")


def chip_sensor(bus: FakeBus, **options: int) -> Bme280Sensor:
    return Bme280Sensor(open_bus=lambda number: bus, sleep=lambda seconds: None, **options)


def test_a_chip_on_the_bus_is_measured_once_and_put_to_sleep() -> None:
    bus = FakeBus()
    found = values(chip_sensor(bus).read(7.0))
    assert found == {
        "temperature": 25.08,
        "pressure": 1006.53,
        "humidity": pytest.approx(54, abs=15),
    }
    assert [0xF4, 0b001_001_01] in [list(each) for each in bus.written]


def test_a_chip_without_humidity_measures_the_rest() -> None:
    assert set(values(chip_sensor(FakeBus(0x58)).read(7.0))) == {"temperature", "pressure"}


def test_a_fault_of_the_bus_is_an_error_and_the_bus_is_opened_anew() -> None:
    bus = FakeBus()
    sensor = chip_sensor(bus)
    bus.faults = [OSError(121, "Remote I/O error")]
    with pytest.raises(SensorError, match=r"0x76 of /dev/i2c-1: Remote I/O error"):
        sensor.read(7.0)
    assert bus.closed
    assert values(sensor.read(8.0))["temperature"] == 25.08


def test_another_chip_a_reset_and_an_endless_measurement_are_errors() -> None:
    with pytest.raises(SensorError, match="id is 0x55"):
        chip_sensor(FakeBus(0x55)).read(1.0)
    with pytest.raises(SensorError, match="Remote I/O error"):
        chip_sensor(FakeBus(), address=0x77).read(1.0)
    reset = FakeBus()
    reset.registers[0xFA:0xFD] = b"\x80\0\0"
    with pytest.raises(SensorError, match="measured nothing"):
        chip_sensor(reset).read(1.0)
    endless = FakeBus()
    endless.busy = 1_000
    with pytest.raises(SensorError, match="does not end"):
        chip_sensor(endless).read(1.0)


def test_without_a_bus_the_message_says_so() -> None:
    with pytest.raises(SensorError, match="/dev/i2c-99: No such file"):
        Bme280Sensor(bus=99).read(1.0)


# --- Programs ------------------------------------------------------------------------------------


def program(code: str, **options: object) -> ProgramSensor:
    return ProgramSensor(
        command=[sys.executable, "-c", code],
        mono=lambda: 3.0,
        **options,  # type: ignore[arg-type]
    )


def test_each_line_of_a_program_is_a_reading() -> None:
    found = program('print(\'{"a": 1}\\n\\n{"a": 2.5, "b": "x"}\')').read(9.0)
    assert found == [Measurement(9.0, {"a": 1}), Measurement(9.0, {"a": 2.5, "b": "x"})]


def test_a_bad_line_costs_itself_only() -> None:
    first, bad, list_, last = program(
        "print('{\"a\": 1}'); print('oops'); print('[1]'); print('{\"a\": 2}')"
    ).read(1.0)
    assert [first, last] == [Measurement(1.0, {"a": 1}), Measurement(1.0, {"a": 2})]
    assert "no JSON" in str(bad)
    assert "no JSON object" in str(list_)


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        (lambda: program("raise SystemExit(3)"), "status 3"),
        (lambda: program("import time; time.sleep(60)", timeout=0.2), "within 0.2 s"),
        (lambda: ProgramSensor(command=["/no/such"], mono=float), "No such file"),
    ],
)
def test_a_program_that_fails_is_an_error(
    sensor: Callable[[], ProgramSensor], message: str
) -> None:
    with pytest.raises(SensorError, match=message):
        sensor().read(1.0)


def wait_for(sensor: ProgramSensor, count: int) -> list[object]:
    found: list[object] = []
    pause = threading.Event()
    for _ in range(1_000):
        try:
            found += sensor.read(1.0)
        except SensorError as error:
            found.append(error)
        if len(found) >= count:
            break
        pause.wait(0.02)
    return found


def test_a_program_that_streams_is_started_again_when_it_ends() -> None:
    sensor = program("print('{\"a\": 1}', flush=True)", stream=True)
    first, ended, again = wait_for(sensor, 3)
    sensor.close()
    assert first == again == Measurement(3.0, {"a": 1})
    assert "ended with status 0; it is started again" in str(ended)


def test_a_program_that_prints_without_end_takes_bounded_memory() -> None:
    sensor = program("while True: print('{\"a\": 1}')", stream=True)
    sensor.read(1.0)
    running = sensor._running
    assert running is not None
    for _ in range(1_000):
        if running._missed:
            break
        threading.Event().wait(0.02)
    found = sensor.read(1.0)
    sensor.close()
    assert len(found) == 1_001
    assert "came too fast" in str(found[-1])
