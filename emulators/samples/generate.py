"""Generates `parcels` and `edge_telemetry`: any number of rows, the same ones for the same seed.

    python -m emulators.samples.generate parcels --rows 5000 --seed 7 --out parcels.csv
    python -m emulators.samples.generate edge_telemetry --rows 5000000 --bad-share 0.002 --out e.csv

Files are UTF-8 CSV with a header and `\\n`. Rows stream out, so memory does not grow with them.

`parcels` are sales of property: a composite key (parcel, deed), amounts with two decimals, leading
zeros, names and places beyond ASCII that exist nowhere. Row i of a seed has the same key in every
`revision`; a higher revision was recorded later and corrects the price.

`edge_telemetry` is what devices in the field send every minute, minute by minute: temperature and
humidity follow the sun, pressure the weather, batteries run down and are charged, a sensor fails to
answer now and then, heat raises an alarm. Sequence numbers run without gaps in each device's epoch.

`bad_share` of the rows, exactly and spread evenly, carry one of the faults in `faults.py`.

Only `random.Random.random` is drawn from and only integers are computed with, which keeps the bytes
equal across Python versions and machines.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import BinaryIO

from emulators.samples.faults import FAULTS, Fault, choose_rows, spoil_line

PARCEL_HEADER = (
    "Parcel No",
    "Deed No",
    "sale_date",
    "recorded_at",
    "city",
    "postal_code",
    "street_address",
    "property_class",
    "area_m2",
    "sale_price",
    "assessed_value",
    "currency",
    "owner_name",
)
TELEMETRY_HEADER = (
    "event_id",
    "device_id",
    "epoch",
    "seq",
    "recorded_at",
    "temperature",
    "humidity",
    "pressure",
    "battery",
    "rssi",
    "alarm",
    "firmware",
)
MAX_PARCELS = 10**10
TELEMETRY_START = datetime(2024, 1, 1, tzinfo=UTC)

# --- Parcels -------------------------------------------------------------------------------------

_PARCEL_STEP = (
    7_368_787_013  # has no factor of 10, so i -> i * step mod 10**10 meets no number twice
)
_FIRST_SALE = date(2019, 1, 1)
_SALE_DAYS = 1_826
_CITIES = (  # name, first postal code, currency, price of a square metre in cents
    ("Ashwick Falls", 501, "USD", 31_000),
    ("Port Calder", 1_204, "USD", 46_500),
    ("Niedermühl", 88_310, "EUR", 52_000),
    ("São Telmo", 7_730, "EUR", 28_500),
    ("Königshafen", 24_990, "EUR", 61_000),
    ("Three Rivers, Upper Town", 40_017, "USD", 22_400),
    ("Łazy Nowe", 3_101, "EUR", 19_800),
    ("Dry Creek", 89_045, "USD", 9_900),
)
_CLASSES = (  # name, smallest and largest area in tenths of a square metre, price factor in percent
    ("residential", 2_500, 12_000, 100),
    ("residential", 3_500, 9_000, 110),
    ("condominium", 400, 1_800, 420),
    ("commercial", 5_000, 60_000, 160),
    ("agricultural", 100_000, 900_000, 4),
    ("vacant", 4_000, 30_000, 35),
)
_STREETS = ("Mill Lane", "Hauptstraße", "Rua do Poço", "Quarry Road", "2nd Avenue", "Am Wehr")
_FIRST_NAMES = ("Zoë", "Ngozi", "Mateusz", "Inês", "Rahul", "Åsa", "Mary-Ann", "Tāne", "Li")
_LAST_NAMES = ("O'Dell", "Okafor", "Żak", "dos Santos", "Iyer", "Ångström", "Ruiz", "Parata", "Wu")


def generate_parcels(
    rows: int, *, seed: int = 0, revision: int = 1, bad_share: float = 0.0
) -> Iterator[bytes]:
    """The file in chunks, header first. `revision` counts from 1 and says how new the rows are."""
    if not 0 <= rows <= MAX_PARCELS or revision < 1:
        raise ValueError(f"rows is {rows} and revision {revision}; give 0 to 10**10 and 1 or more")
    # Every row draws the same numbers in every revision, which is what makes them revisions.
    draw = random.Random(f"parcels-{seed}").random
    offset = int(random.Random(f"parcel-numbers-{seed}").random() * MAX_PARCELS)
    lines = (_parcel_line(index, offset, draw, revision) for index in range(rows))
    return _encode_file("parcels", PARCEL_HEADER, _batch(lines, 500), rows, seed, bad_share)


def _parcel_line(index: int, offset: int, draw: Callable[[], float], revision: int) -> str:
    number = f"{(offset + index * _PARCEL_STEP) % MAX_PARCELS:010d}"
    city, postal, currency, metre = _CITIES[int(draw() * len(_CITIES))]
    kind, smallest, largest, factor = _CLASSES[int(draw() * len(_CLASSES))]
    sold = _FIRST_SALE + timedelta(days=int(draw() * _SALE_DAYS))
    recorded = sold + timedelta(days=3 + int(draw() * 30) + 45 * (revision - 1))
    area = smallest + int(draw() * (largest - smallest))
    price = area * metre * factor // 1_000 * (80 + int(draw() * 60)) // 100
    price += price * 3 * (revision - 1) // 100
    assessed = "" if draw() < 0.08 else _write_cents(price * 7 // 10)
    street = _STREETS[int(draw() * len(_STREETS))]
    first, last = (names[int(draw() * len(names))] for names in (_FIRST_NAMES, _LAST_NAMES))
    place = f'"{city}"' if "," in city else city
    return (
        f"{number[:4]}-{number[4:7]}-{number[7:]},D{sold.year}-{index:07d},{sold},"
        f"{recorded}T{int(draw() * 24):02d}:{int(draw() * 60):02d}:00Z,"
        f"{place},{postal + int(draw() * 9):05d},{street} {1 + int(draw() * 250)},{kind},"
        f"{area // 10}.{area % 10},{_write_cents(price)},{assessed},{currency},"
        f'"{last}, {first}"'
    )


def _write_cents(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


# --- Telemetry -----------------------------------------------------------------------------------
# Readings are looked up as text by their value in tenths: a table costs less than formatting.

_DAY = 1_440  # minutes
_LOWEST, _HIGHEST = -600, 12_000  # tenths, of all readings
_TENTHS = [f"{'-' * (n < 0)}{abs(n) // 10}.{abs(n) % 10}" for n in range(_LOWEST, _HIGHEST)]
_PERCENT = [_TENTHS[min(max(n, 0), 1_000) - _LOWEST] for n in range(-1_000, 2_000)] + [""] * 3_000
_NO_ANSWER = 3_000  # added to a reading in percent, finds the empty text
_ALARM_AT = 280 - _LOWEST
_NOISE = 4_099  # prime, so that noise and devices never fall into step
_FIRMWARE = ("1.4.2", "1.4.2", "1.4.2", "1.5.0")


@dataclass(slots=True)
class _Device:
    """One device: the texts that never change in its rows, and where its readings lie."""

    name: str
    epoch: str
    temperature: int  # the mean in tenths, as an index of _TENTHS
    battery: int  # minutes since it was charged, at the start
    signal: int
    firmware: str

    def write_ends(self, minute: int) -> tuple[str, str]:
        """What follows the pressure, without and with an alarm; changes slowly."""
        # From full to a fifth in five days of use.
        charge = 1_000 - (self.battery + minute) % (5 * _DAY) // 9
        front = f",{_PERCENT[charge + 1_000]},{self.signal - minute // 60 % 5},"
        return f"{front}false,{self.firmware}", f"{front}true,{self.firmware}"


def generate_edge_telemetry(
    rows: int, *, seed: int = 0, bad_share: float = 0.0, devices: int = 200
) -> Iterator[bytes]:
    """The file in chunks, header first: one row per device and minute until there are enough."""
    if rows < 0 or devices < 1:
        raise ValueError(f"rows is {rows} and devices {devices}; give 0 or more and 1 or more")
    minutes = _telemetry_minutes(rows, seed, devices)
    return _encode_file("edge_telemetry", TELEMETRY_HEADER, minutes, rows, seed, bad_share)


def _telemetry_minutes(rows: int, seed: int, devices: int) -> Iterator[list[str]]:
    draw = random.Random(f"edge_telemetry-{seed}").random
    fleet = [_make_device(number, draw) for number in range(1, min(devices, rows) + 1)]
    noise = cycle(
        [
            (
                int(draw() * 7) - 3,
                int(draw() * 21) + (_NO_ANSWER if draw() < 0.002 else 990),
                int(draw() * 5),
            )
            for _ in range(_NOISE)
        ]
    )
    starts = [(f"{d.name}/{d.epoch}/", f",{d.name},{d.epoch},", d.temperature) for d in fleet]
    ends: list[tuple[str, str]] = []
    minute = 0
    while rows > 0:
        if minute % 10 == 0:
            ends = [device.write_ends(minute) for device in fleet]
        yield _telemetry_lines(minute, starts[:rows], ends, noise)
        rows -= len(fleet)
        minute += 1


def _make_device(number: int, draw: Callable[[], float]) -> _Device:
    return _Device(
        name=f"station-{number:04d}",
        epoch=f"{int(draw() * 2**32):08x}",
        temperature=80 + int(draw() * 120) - _LOWEST,
        battery=int(draw() * 5 * _DAY),
        signal=-60 - int(draw() * 45),
        firmware=_FIRMWARE[int(draw() * len(_FIRMWARE))],
    )


def _telemetry_lines(
    minute: int,
    starts: Sequence[tuple[str, str, int]],
    ends: Sequence[tuple[str, str]],
    noise: Iterable[tuple[int, int, int]],
) -> list[str]:
    sun = _swing(minute - 540, _DAY, 95)  # coldest at three in the morning
    front = _swing(minute, 9 * _DAY, 180)
    time = f"{TELEMETRY_START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"
    after = f"{minute + 1},{time},"
    seq = f"{minute + 1}"
    moist = 560 - 2 * sun
    pressure = 10_080 + front - _LOWEST
    # `tenths` and `percent` are local because a global costs a lookup per row.
    tenths, percent, limit = _TENTHS, _PERCENT, _ALARM_AT
    return [
        f"{event}{seq}{names}{after}{tenths[(t := mean + sun + n1)]},{percent[moist + n2]},"
        f"{tenths[pressure + n3]}{end[t > limit]}"
        for (event, names, mean), end, (n1, n2, n3) in zip(starts, ends, noise, strict=False)
    ]


def _swing(minute: int, period: int, height: int) -> int:
    """A wave out of two parabolas, -height to height, in integers."""
    half = period // 2
    place = minute % period
    rest = place % half
    bow = 4 * height * rest * (half - rest) // (half * half)
    return bow if place < half else -bow


# --- Both ----------------------------------------------------------------------------------------


def _batch(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(islice(lines, size)):
        yield batch


def _encode_file(
    dataset: str,
    header: Sequence[str],
    batches: Iterator[list[str]],
    rows: int,
    seed: int,
    bad_share: float,
) -> Iterator[bytes]:
    faults: Iterator[Fault] = cycle(FAULTS[dataset])
    positions = choose_rows(rows, bad_share, seed)
    position = next(positions, rows)
    done = 0
    yield (",".join(header) + "\n").encode()
    for batch in batches:
        while position < done + len(batch):
            here = position - done
            batch[here] = spoil_line(batch[here], next(faults), header)
            position = next(positions, rows)
        done += len(batch)
        yield ("\n".join(batch) + "\n").encode()


def write_file(chunks: Iterable[bytes], out: BinaryIO) -> int:
    """Writes the chunks and returns the number of bytes."""
    return sum(out.write(chunk) for chunk in chunks)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: writes the file and says on stderr what it wrote."""
    parser = argparse.ArgumentParser(
        prog="python -m emulators.samples.generate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("dataset", choices=sorted(FAULTS.keys() - {"weather"}))
    parser.add_argument("--rows", type=int, required=True, help="rows without the header")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (0)")
    parser.add_argument(
        "--bad-share", type=float, default=0.0, help="share of bad rows, 0 to 1 (0)"
    )
    parser.add_argument("--revision", type=int, default=1, help="parcels: how new the rows are (1)")
    parser.add_argument("--devices", type=int, default=200, help="edge_telemetry: devices (200)")
    parser.add_argument("--out", default="-", help="the file to write; - is standard output (-)")
    given = parser.parse_args(arguments)
    common = {"rows": given.rows, "seed": given.seed, "bad_share": given.bad_share}
    try:
        if given.dataset == "parcels":
            chunks = generate_parcels(**common, revision=given.revision)
        else:
            chunks = generate_edge_telemetry(**common, devices=given.devices)
        with (
            nullcontext(sys.stdout.buffer) if given.out == "-" else Path(given.out).open("wb") as f
        ):
            size = write_file(chunks, f)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{given.dataset}: {given.rows:,} rows, {size:,} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
