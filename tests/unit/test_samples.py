"""The sample files and their generator, judged by their contracts with a second, plain reading.

The oracle below reads cells the slow and obvious way, on purpose unlike the engine.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import islice, pairwise
from pathlib import Path

import pytest

from emulators.samples import SAMPLES, SampleName, read_sample
from emulators.samples.faults import FAULTS, Fault, choose_rows, count_bad, spoil_file
from emulators.samples.generate import (
    PARCEL_HEADER,
    TELEMETRY_HEADER,
    generate_edge_telemetry,
    generate_parcels,
    main,
)
from emulators.samples.scenarios import Scenario, build_scenarios
from eventpulse.contracts.contract import Contract, Field, route_object
from eventpulse.odcs import read_contract
from tests.flights import open_flights

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract.dataset: contract
    for contract in (
        read_contract(path.read_bytes(), path.name)
        for path in sorted((ROOT / "contracts").glob("*.odcs.yaml"))
    )
}
SCENARIOS = {scenario.name: scenario for scenario in build_scenarios()}

# --- The oracle ----------------------------------------------------------------------------------


def parse_time(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def parse_boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def parse_number(text: str) -> Decimal:
    if not re.fullmatch(r"-?\d+(\.\d+)?(e\d+)?", text):
        raise ValueError(text)
    return Decimal(text)


def parse_integer(text: str) -> int:
    if not re.fullmatch(r"-?\d+", text):
        raise ValueError(text)
    return int(text)


PARSERS: dict[str, Callable[[str], object]] = {
    "string": str,
    "integer": parse_integer,
    "number": parse_number,
    "boolean": parse_boolean,
    "date": date.fromisoformat,
    "timestamp": parse_time,
}


def find_problem(field: Field, cell: str | None, nulls: tuple[str, ...]) -> str | None:
    if cell is None or cell in nulls:
        return "required" if field.column.required else None
    parse, options = PARSERS[field.type], field.options
    try:
        value = parse(cell)
    except (ValueError, KeyError):
        return "type"
    bounds: list[tuple[str | None, Callable[..., bool]]] = [
        (options.minimum, lambda v, b: v < b),
        (options.maximum, lambda v, b: v > b),
        (options.exclusive_minimum, lambda v, b: v <= b),
        (options.exclusive_maximum, lambda v, b: v >= b),
    ]
    if any(bound is not None and broken(value, parse(bound)) for bound, broken in bounds):
        return "range"
    if options.enum and cell not in options.enum:
        return "enum"
    if options.pattern and not re.fullmatch(options.pattern, cell):
        return "pattern"
    length = len(cell)
    too_short = options.min_length is not None and length < options.min_length
    too_long = options.max_length is not None and length > options.max_length
    if (
        isinstance(value, Decimal)
        and field.scale is not None
        and value != round(value, field.scale)
    ):
        return "scale"
    return "length" if too_short or too_long else None


def judge_file(contract: Contract, lines: Iterable[str]) -> tuple[int, list[tuple[str, str]], int]:
    """Rows, the (column, problem) pairs of all rows, and how many rows repeat a key."""
    reader = csv.DictReader(lines)
    present = set(reader.fieldnames or ())
    fields = [f for f in contract.fields if f.column.required or present & set(f.headers)]
    headers = {f.name: next(h for h in f.headers if h in present) for f in fields}
    nulls = contract.dialect.null_markers
    problems: list[tuple[str, str]] = []
    keys: Counter[tuple[str, ...]] = Counter()
    rows = 0
    for row in reader:
        rows += 1
        keys[tuple(row[headers[name]] for name in contract.key)] += 1
        for field in fields:
            problem = find_problem(field, row[headers[field.name]], nulls)
            if problem is not None:
                problems.append((field.name, problem))
    return rows, problems, sum(keys.values()) - len(keys)


def decode(content: bytes) -> Iterator[str]:
    return iter(io.StringIO(content.decode(), newline=""))


# --- Real samples --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "problems"),
    [
        ("weather", 26_115, [("wind_speed", "range")]),
        ("planes", 3_322, []),
        ("airports", 1_458, []),
    ],
)
def test_a_real_sample_keeps_its_contract(
    name: SampleName, rows: int, problems: list[tuple[str, str]]
) -> None:
    content = read_sample(name)
    assert judge_file(CONTRACTS[name], decode(content)) == (rows, problems, 0)


@pytest.mark.parametrize("name", ["weather", "planes", "airports"])
def test_a_real_sample_has_the_columns_of_its_contract(name: SampleName) -> None:
    header = next(csv.reader(decode(read_sample(name))))
    assert header == [field.headers[0] for field in CONTRACTS[name].fields]


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_compressed_reproducibly(name: str) -> None:
    packed = (ROOT / f"emulators/samples/{name}.csv.gz").read_bytes()
    flags, time = packed[3], packed[4:8]
    assert (flags, time) == (0, b"\0\0\0\0")
    assert gzip.decompress(packed).endswith(b"\n")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_documented(name: SampleName) -> None:
    guide = (ROOT / "emulators/samples/README.md").read_text("utf-8")
    rows = read_sample(name).count(b"\n") - 1
    assert f"| `{name}.csv.gz` | {rows:,} |" in guide
    assert "CC0" in guide


def test_flights_have_the_columns_of_their_contract() -> None:
    with open_flights() as lines:
        assert next(csv.reader(lines)) == [f.headers[0] for f in CONTRACTS["flights"].fields]


def test_flights_keep_their_contract() -> None:
    with open_flights() as lines:
        # Every 40th row: the oracle is slow.
        header, *rows = islice(lines, 0, None, 40)
        assert judge_file(CONTRACTS["flights"], [header, *rows]) == (336_776 // 40, [], 0)


def test_no_two_flights_have_one_key() -> None:
    key = CONTRACTS["flights"].key
    with open_flights() as lines:
        reader = csv.reader(lines)
        header = next(reader)
        places = [header.index(name) for name in key]
        keys = [tuple(row[place] for place in places) for row in reader]
    assert len(keys) == len(set(keys)) == 336_776


# --- Generated samples ---------------------------------------------------------------------------

GENERATORS: dict[str, Callable[..., Iterator[bytes]]] = {
    "parcels": generate_parcels,
    "edge_telemetry": generate_edge_telemetry,
}


@pytest.mark.parametrize(("dataset", "rows"), [("parcels", 5_000), ("edge_telemetry", 30_000)])
def test_generated_rows_keep_their_contract(dataset: str, rows: int) -> None:
    content = b"".join(GENERATORS[dataset](rows, seed=3))
    assert judge_file(CONTRACTS[dataset], decode(content)) == (rows, [], 0)


def test_generated_columns_are_those_of_the_contracts() -> None:
    parcels, telemetry = (
        [field.headers[0] for field in CONTRACTS[dataset].fields]
        for dataset in ("parcels", "edge_telemetry")
    )
    assert list(PARCEL_HEADER) == parcels
    assert list(TELEMETRY_HEADER) == telemetry[:12]  # those of plain readings


@pytest.mark.parametrize("dataset", GENERATORS)
@pytest.mark.parametrize("rows", [0, 1, 7, 501])
def test_there_are_as_many_rows_as_asked_for(dataset: str, rows: int) -> None:
    content = b"".join(GENERATORS[dataset](rows))
    assert judge_file(CONTRACTS[dataset], decode(content)) == (rows, [], 0)


@pytest.mark.parametrize("dataset", GENERATORS)
def test_the_same_seed_gives_the_same_bytes_and_another_others(dataset: str) -> None:
    first, again, other = (
        b"".join(GENERATORS[dataset](2_000, seed=seed, bad_share=0.01)) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("dataset", "digest"),
    [
        ("parcels", "aeebac1844bf9ccc7439ebc163420d1a0b1bd84cb4042520ff5ff2dbb9929511"),
        ("edge_telemetry", "bda395d13fa4161c13edd525e9d66262ab3cc28d729be9b4836b28fe0d8024e0"),
    ],
)
def test_generated_bytes_never_change(dataset: str, digest: str) -> None:
    content = b"".join(GENERATORS[dataset](3_000, seed=1, bad_share=0.02))
    assert sha256(content).hexdigest() == digest


@pytest.mark.parametrize("dataset", GENERATORS)
@pytest.mark.parametrize("share", [0.0, 0.002, 0.01, 0.333, 1.0])
def test_exactly_the_given_share_of_rows_is_bad(dataset: str, share: float) -> None:
    rows = 3_000
    content = b"".join(GENERATORS[dataset](rows, seed=2, bad_share=share))
    read, problems, _ = judge_file(CONTRACTS[dataset], decode(content))
    assert read == rows
    assert len(problems) == count_bad(rows, share) == round(rows * share)


@pytest.mark.parametrize("dataset", GENERATORS)
def test_only_the_bad_rows_differ_from_a_good_file(dataset: str) -> None:
    good, bad = (
        b"".join(GENERATORS[dataset](1_000, seed=2, bad_share=share)).splitlines()
        for share in (0.0, 0.05)
    )
    changed = [row for row, pair in enumerate(zip(good, bad, strict=True)) if pair[0] != pair[1]]
    assert changed == [row + 1 for row in choose_rows(1_000, 0.05, 2)]


def read_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(decode(content)))


def test_a_later_revision_has_the_same_keys_and_was_recorded_later() -> None:
    old, new = (
        read_rows(b"".join(generate_parcels(400, seed=9, revision=revision))) for revision in (1, 2)
    )
    for before, after in zip(old, new, strict=True):
        assert before["Parcel No"] == after["Parcel No"]
        assert before["Deed No"] == after["Deed No"]
        assert parse_time(before["recorded_at"]) < parse_time(after["recorded_at"])
        assert Decimal(before["sale_price"]) < Decimal(after["sale_price"])


def test_parcels_hold_what_naive_readers_get_wrong() -> None:
    content = b"".join(generate_parcels(2_000))
    rows = read_rows(content)
    assert any(row["postal_code"].startswith("0") for row in rows)
    assert any("," in row["city"] for row in rows)
    assert not content.isascii()


def test_sequence_numbers_of_a_device_have_no_gap() -> None:
    rows = read_rows(b"".join(generate_edge_telemetry(2_000, devices=7)))
    for device in {row["device_id"] for row in rows}:
        own = [row for row in rows if row["device_id"] == device]
        assert len({row["epoch"] for row in own}) == 1
        assert [int(row["seq"]) for row in own] == list(range(1, len(own) + 1))
        assert all(r["event_id"] == f"{device}/{r['epoch']}/{r['seq']}" for r in own)


def test_readings_follow_the_day_and_batteries_run_down() -> None:
    rows = read_rows(b"".join(generate_edge_telemetry(20 * 1_440, seed=4, devices=20)))
    mean = {
        hour: sum(float(r["temperature"]) for r in picked) / len(picked)
        for hour in ("03", "15")
        for picked in [[r for r in rows if r["recorded_at"][11:13] == hour]]
    }
    assert mean["15"] - mean["03"] > 10
    first = [Decimal(r["battery"]) for r in rows if r["device_id"] == "station-0001"]
    falls = sum(1 for a, b in pairwise(first) if b < a)
    rises = sum(1 for a, b in pairwise(first) if b > a)
    assert falls > 50
    assert rises <= 1
    assert any(r["humidity"] == "" for r in rows)
    assert {r["alarm"] for r in rows} == {"true", "false"}


def test_memory_does_not_grow_with_the_rows() -> None:
    def measure(rows: int) -> int:
        tracemalloc.start()
        size = sum(len(chunk) for chunk in generate_edge_telemetry(rows, bad_share=0.01))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > rows * 90
        return peak

    assert measure(60_000) < 1.5 * measure(6_000) + 200_000


def test_the_command_writes_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "e.csv"
    arguments = ["edge_telemetry", "--rows", "500", "--seed", "3", "--bad-share", "0.01"]
    assert main([*arguments, "--out", str(path)]) == 0
    assert path.read_bytes() == b"".join(generate_edge_telemetry(500, seed=3, bad_share=0.01))
    assert capfd.readouterr().err == f"edge_telemetry: 500 rows, {path.stat().st_size:,} bytes\n"


def test_the_documented_command_writes_to_standard_output() -> None:
    command = [sys.executable, "-m", "emulators.samples.generate", "parcels", "--rows", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"".join(generate_parcels(20))


@pytest.mark.parametrize(
    "arguments",
    [["parcels", "--rows", "-1"], ["parcels", "--rows", "1", "--bad-share", "2"], ["weather"]],
)
def test_the_command_refuses_what_makes_no_sense(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "error:" in capfd.readouterr().err


# --- Faults --------------------------------------------------------------------------------------

EXPECTED = {
    "text in a number": "type",
    "decimal comma": "type",
    "impossible date": "type",
    "missing required": "required",
    "missing key": "required",
    "out of range": "range",
    "not in enum": "enum",
    "not a boolean": "type",
    "pattern": "pattern",
}


@pytest.mark.parametrize(
    ("dataset", "fault"), [(d, f) for d, faults in FAULTS.items() for f in faults]
)
def test_a_fault_breaks_one_rule_of_its_contract(dataset: str, fault: Fault) -> None:
    contract = CONTRACTS[dataset]
    if dataset == "weather":
        good = b"\n".join(read_sample("weather").splitlines()[:5]) + b"\n"
    else:
        good = b"".join(GENERATORS[dataset](4))
    bad = spoil_file(good, [fault], 0.25)
    field = next(f for f in contract.fields if fault.column in f.headers)
    assert judge_file(contract, decode(good))[1] == []
    assert judge_file(contract, decode(bad))[1] == [(field.name, EXPECTED[fault.kind])]


@pytest.mark.parametrize(
    ("rows", "share"), [(10, 0.3), (7, 1.0), (1_000, 0.01), (3, 0.5), (0, 0.5)]
)
def test_bad_rows_are_distinct_ascending_and_counted(rows: int, share: float) -> None:
    chosen = list(choose_rows(rows, share, seed=1))
    assert len(chosen) == count_bad(rows, share)
    assert chosen == sorted(set(chosen))
    assert all(0 <= row < rows for row in chosen)


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the share of bad rows is 1\.5"):
        count_bad(10, 1.5)


# --- Scenarios -----------------------------------------------------------------------------------


def test_the_scenarios_show_what_a_demo_must_show() -> None:
    assert list(SCENARIOS) == [
        "planes",
        "airports",
        "telemetry",
        "good_file",
        "same_file_again",
        "same_file_at_once",
        "bad_rows",
        "real_fault",
        "older_then_newer",
        "newer_then_older",
        "removed_column",
        "unknown_dataset",
        "unreadable",
        "added_column",
        "replay",
    ]


def test_scenarios_are_the_same_values_each_time() -> None:
    assert build_scenarios() == tuple(SCENARIOS.values())


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_scenario_is_whole(scenario: Scenario) -> None:
    if scenario.replay_of is not None:
        assert SCENARIOS[scenario.replay_of].uploads
        assert (scenario.uploads, len(scenario.outcomes)) == ((), 1)
    else:
        assert len(scenario.uploads) == len(scenario.outcomes) > 0
    patterns = {name: contract.path_patterns for name, contract in CONTRACTS.items()}
    for upload, outcome in zip(scenario.uploads, scenario.outcomes, strict=False):
        routed = route_object(upload.object_name, patterns)
        assert len(routed) == (0 if outcome.reason == "no_contract" else 1)


LOADED = [
    (scenario.name, upload.content, outcome.rows_read, outcome.rows_quarantined)
    for scenario in SCENARIOS.values()
    for upload, outcome in zip(scenario.uploads, scenario.outcomes, strict=False)
    if outcome.state == "loaded"
]


@pytest.mark.parametrize(
    ("name", "content", "rows", "bad"), LOADED, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LOADED)]
)
def test_the_counts_of_a_scenario_are_those_of_its_file(
    name: str, content: bytes, rows: int, bad: int
) -> None:
    dataset = route_object(
        next(u.object_name for u in SCENARIOS[name].uploads if u.content == content),
        {d: c.path_patterns for d, c in CONTRACTS.items()},
    )[0]
    read, problems, repeated = judge_file(CONTRACTS[dataset], decode(content))
    assert (read, len(problems)) == (rows, bad)
    assert repeated == 0 or name == "bad_rows"


def test_the_bad_rows_are_one_percent_and_of_every_kind() -> None:
    (upload,) = SCENARIOS["bad_rows"].uploads
    _, problems, _ = judge_file(CONTRACTS["weather"], decode(upload.content))
    assert len(problems) == round(6_497 * 0.01)
    assert {column for column, _ in problems} == {fault.column for fault in FAULTS["weather"]}


def test_the_same_file_is_the_same_file() -> None:
    assert SCENARIOS["same_file_again"].uploads == SCENARIOS["good_file"].uploads
    first, second = SCENARIOS["same_file_at_once"].uploads
    assert first.content == second.content
    assert first.object_name != second.object_name
    assert SCENARIOS["same_file_at_once"].together


def test_versions_of_rows_arrive_in_both_orders_and_share_no_key() -> None:
    keys: dict[str, list[set[str]]] = {}
    times: dict[str, list[str]] = {}
    for name in ("older_then_newer", "newer_then_older"):
        files = [read_rows(upload.content) for upload in SCENARIOS[name].uploads]
        keys[name] = [{row["Parcel No"] + row["Deed No"] for row in rows} for rows in files]
        times[name] = [rows[0]["recorded_at"] for rows in files]
        assert keys[name][0] == keys[name][1]
    assert keys["older_then_newer"][0].isdisjoint(keys["newer_then_older"][0])
    assert times["older_then_newer"] == sorted(times["older_then_newer"])
    assert times["newer_then_older"] == sorted(times["newer_then_older"], reverse=True)


def test_the_removed_column_is_required_and_the_added_one_is_new() -> None:
    weather, planes = CONTRACTS["weather"], CONTRACTS["planes"]
    removed = next(csv.reader(decode(SCENARIOS["removed_column"].uploads[0].content)))
    added = next(csv.reader(decode(SCENARIOS["added_column"].uploads[0].content)))
    missing = [field for field in weather.fields if field.name not in removed]
    assert [field.name for field in missing] == ["time_hour"]
    assert missing[0].column.required
    assert added == [*(field.name for field in planes.fields), "registered_in"]
    assert planes.drift["added"] == "evolve"


def test_the_unreadable_file_is_no_text() -> None:
    (upload,) = SCENARIOS["unreadable"].uploads
    assert b"\0" in upload.content
    with pytest.raises(UnicodeDecodeError):
        upload.content.decode()
