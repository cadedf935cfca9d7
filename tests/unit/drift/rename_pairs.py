"""A labelled set of schema pairs, made from the samples by a seeded maker.

Each pair is a file that was accepted and a later one of the same dataset, with other rows. Between
them a supplier has renamed some columns, dropped some and added others; the maker knows which. New
names come in the styles that suppliers use: another case, an abbreviation or what it stands for,
another word, another language, or a name that says nothing. Added columns are made to mislead: a
measurement in another unit under a like name, a column from another dataset, noise.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from emulators.samples import SAMPLES, read_sample
from emulators.samples.generate import generate_edge_telemetry, generate_parcels

PAIRS = 120
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
Rows = list[list[str]]

OTHER_NAMES: dict[str, list[str]] = {
    "origin": ["Airport", "origin_airport", "dep_airport", "Startflughafen", "ORIG"],
    "year": ["yr", "Jahr", "obs_year", "YEAR"],
    "month": ["mon", "Monat", "obs_month", "mm"],
    "day": ["dy", "Tag", "day_of_month", "DAY"],
    "hour": ["hr", "Stunde", "hour_local", "hh"],
    "temp": ["temperature", "air_temp", "Temperatur", "tmpf"],
    "dewp": ["dew_point", "dewpoint_f", "Taupunkt", "dwpf"],
    "humid": ["humidity", "rel_humidity", "Luftfeuchte", "rh"],
    "wind_dir": ["wind_direction", "winddir", "Windrichtung", "drct"],
    "wind_speed": ["windspeed", "wind_spd", "Windgeschwindigkeit", "sknt"],
    "wind_gust": ["gust", "gust_speed", "Windspitze", "gst"],
    "precip": ["precipitation", "rain_in", "Niederschlag", "p01i"],
    "pressure": ["sea_level_pressure", "press_mb", "Luftdruck", "mslp"],
    "visib": ["visibility", "vis_miles", "Sichtweite", "vsby"],
    "time_hour": ["timestamp", "TimeHour", "observed_at", "Zeitpunkt"],
    "tailnum": ["tail_number", "TailNo", "registration", "Kennzeichen"],
    "type": ["plane_type", "aircraft_type", "Typ", "TYPE"],
    "manufacturer": ["maker", "mfr", "Hersteller", "manufacturer_name"],
    "model": ["model_no", "Modell", "aircraft_model", "MODEL"],
    "engines": ["no_of_engines", "num_engines", "Triebwerke", "engine_count"],
    "seats": ["seat_count", "num_seats", "Sitze", "capacity"],
    "speed": ["cruise_speed", "speed_mph", "Geschwindigkeit", "spd"],
    "engine": ["engine_type", "Antrieb", "eng", "ENGINE"],
    "faa": ["FAA", "faa_code", "airport_code", "Kürzel"],
    "name": ["airport_name", "Name", "full_name", "Bezeichnung"],
    "lat": ["latitude", "Lat", "Breite", "y_coord"],
    "lon": ["longitude", "lng", "Länge", "x_coord"],
    "alt": ["altitude", "elevation_ft", "Höhe", "elev"],
    "tz": ["utc_offset", "timezone_offset", "TZ", "Zeitverschiebung"],
    "dst": ["daylight_saving", "DST", "dst_code", "Sommerzeit"],
    "tzone": ["time_zone", "timezone_name", "Zeitzone", "iana_zone"],
    "carrier": ["airline", "carrier_code", "Carrier", "Fluglinie"],
    "Parcel No": ["parcel_number", "ParcelNo", "APN", "Flurstück"],
    "Deed No": ["deed_number", "deed", "DeedNo", "Urkunde"],
    "sale_date": ["date_of_sale", "SaleDate", "Verkaufsdatum", "sold_on"],
    "recorded_at": ["recording_time", "recorded", "erfasst_am", "RecordedAt"],
    "city": ["town", "City", "Ort", "municipality"],
    "postal_code": ["zip", "postcode", "PLZ", "zip_code"],
    "street_address": ["address", "street", "Straße", "addr"],
    "property_class": ["class", "Nutzung", "property_type", "prop_class"],
    "area_m2": ["area", "floor_area_m2", "Fläche", "AreaM2"],
    "sale_price": ["price", "Preis", "SalePrice", "amount_paid"],
    "assessed_value": ["assessment", "Schätzwert", "assessed_val", "tax_value"],
    "currency": ["curr", "Währung", "ccy", "CURRENCY"],
    "owner_name": ["owner", "Eigentümer", "OwnerName", "buyer"],
    "event_id": ["eventId", "id", "event_uuid", "Ereignis"],
    "device_id": ["device", "dev_id", "DeviceId", "sensor_id"],
    "epoch": ["boot_id", "EPOCH", "session", "epoch_id"],
    "seq": ["sequence", "seq_no", "Laufnummer", "n"],
    "temperature": ["temp", "temp_celsius", "Temperatur", "t_air"],
    "humidity": ["hum", "rel_humidity", "Feuchte", "rh_pct"],
    "battery_voltage": ["battery", "batt_v", "Spannung", "vbat"],
    "battery": ["battery_voltage", "batt", "Akku", "bat_level"],
    "status": ["state", "Zustand", "STATUS", "device_status"],
    "firmware": ["fw", "fw_version", "firmware_version", "Firmware"],
}


@dataclass(frozen=True)
class Pair:
    """Two files of one dataset: `renames` maps columns of the first to headers of the second."""

    dataset: str
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    renames: dict[str, str]


@cache
def read_table(name: str) -> tuple[list[str], Rows]:
    contents: dict[str, Callable[[], bytes]] = {
        "parcels": lambda: b"".join(generate_parcels(2_000, seed=11)),
        "edge_telemetry": lambda: b"".join(generate_edge_telemetry(3_000, seed=11)),
    }
    content = contents[name]() if name in contents else read_sample(name)  # type: ignore[arg-type]
    header, *rows = csv.reader(io.StringIO(content.decode()))
    return header, rows


DATASETS = (*(name for name in SAMPLES if name != "airlines"), "parcels", "edge_telemetry")


def make_pairs(seed: int = 20) -> Iterator[Pair]:
    chance = random.Random(seed)
    for number in range(PAIRS):
        yield make_pair(DATASETS[number % len(DATASETS)], chance)


def make_pair(dataset: str, chance: random.Random) -> Pair:
    header, rows = read_table(dataset)
    first, second = split_rows(rows, chance)
    before = {name: [row[at] for row in first] for at, name in enumerate(header)}
    after = {name: [row[at] for row in second] for at, name in enumerate(header)}
    changed = chance.sample(header, k=chance.randint(1, 5))
    renamed, dropped = changed[: chance.randint(0, 3)], []
    renames: dict[str, str] = {}
    for name in changed:
        if name in renamed:
            new = new_name(name, chance)
            if new not in after:
                after[new] = after.pop(name)
                renames[name] = new
        else:
            dropped.append((name, after.pop(name)))
    for misleading, cells in mislead(dataset, dropped, after, chance):
        after.setdefault(misleading, cells)
    order = list(after)
    chance.shuffle(order)
    return Pair(dataset, before, {name: after[name] for name in order}, renames)


def split_rows(rows: Rows, chance: random.Random) -> tuple[Rows, Rows]:
    """Two sets of rows that share none: two spans of the file, or two draws from all of it."""
    size = min(len(rows) // 2, chance.choice([200, 800, 3_000]))
    if chance.random() < 0.5:
        start = chance.randrange(0, len(rows) - 2 * size + 1)
        return rows[start : start + size], rows[start + size : start + 2 * size]
    drawn = chance.sample(rows, k=2 * size)
    return drawn[:size], drawn[size:]


def new_name(name: str, chance: random.Random) -> str:
    style = chance.random()
    if style < 0.2:
        return chance.choice([name.upper(), name.title().replace("_", " "), f"{name}_1"])
    if style < 0.92:
        return chance.choice(OTHER_NAMES.get(name, [f"{name}_value", f"x_{name}"]))
    return chance.choice(["field_7", "col12", "Spalte B", "attr"])


def mislead(
    dataset: str,
    dropped: list[tuple[str, list[str]]],
    after: dict[str, list[str]],
    chance: random.Random,
) -> Iterator[tuple[str, list[str]]]:
    """Added columns that are none of the dropped ones."""
    rows = len(next(iter(after.values())))
    for name, cells in dropped:
        if chance.random() < 0.4 and is_measure(cells):
            yield f"{name}_metric", [convert(cell) for cell in cells]
    kind = chance.randrange(5)
    if kind == 0:
        yield "load_id", [f"{chance.randrange(10**9):09}" for _ in range(rows)]
    elif kind == 1:
        other = chance.choice([each for each in DATASETS if each != dataset])
        header, foreign = read_table(other)
        at = chance.randrange(len(header))
        yield f"{other}_{header[at]}", [foreign[n % len(foreign)][at] for n in range(rows)]
    elif kind == 2:
        yield "remark", [chance.choice(["ok", "checked", "", "late"]) for _ in range(rows)]
    elif kind == 3:
        yield "score", [f"{chance.random():.4f}" for _ in range(rows)]


def is_measure(cells: list[str]) -> bool:
    numbers = [cell for cell in cells[:50] if cell not in ("", "NA")]
    return bool(numbers) and all(NUMBER.fullmatch(cell) for cell in numbers)


def convert(cell: str) -> str:
    """Another unit: what was 39.02 degrees Fahrenheit is 3.9 of Celsius."""
    return f"{(float(cell) - 32) / 1.8:.2f}" if NUMBER.fullmatch(cell) else cell
