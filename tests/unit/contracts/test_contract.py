"""The contract as plain values: headers, columns, keys, and which dataset an object belongs to."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import (
    DRIFT_KINDS,
    DRIFT_MODES,
    DRIFT_PRESETS,
    Contract,
    Field,
    LogicalType,
    route_object,
)
from eventpulse.drift.accepted_schema import AcceptedSchema, EvolvedColumn, extend_contract
from eventpulse.ports import Column, ColumnType


def make_contract(*fields: Field, **keys: str) -> Contract:
    return Contract(dataset="sales", version="1.0.0", sha256="0" * 64, fields=fields, **keys)  # type: ignore[arg-type]


# --- Fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "headers"),
    [
        (Field("code"), ("code",)),
        (Field("code", header="Code No"), ("Code No", "code")),
        (Field("code", header="code", aliases=("Nr", "code")), ("code", "Nr")),
        (Field("code", aliases=("Nr", "No")), ("code", "Nr", "No")),
    ],
)
def test_a_field_has_its_headers_in_order_of_preference(
    field: Field, headers: tuple[str, ...]
) -> None:
    assert field.headers == headers


@pytest.mark.parametrize(
    ("logical", "precision", "expected"),
    [
        ("string", None, "string"),
        ("integer", None, "integer"),
        ("number", None, "number"),
        ("number", 12, "decimal"),
        ("boolean", None, "boolean"),
        ("date", None, "date"),
        ("timestamp", None, "timestamp"),
        ("time", None, "time"),
        ("object", None, "json"),
        ("array", None, "json"),
    ],
)
def test_a_logical_type_has_a_column_type(
    logical: LogicalType, precision: int | None, expected: ColumnType
) -> None:
    assert Field("code", logical, precision=precision).column_type == expected


def test_a_column_of_the_key_is_required() -> None:
    assert Field("code", key_position=1).column == Column("code", "string", required=True)
    assert Field("code").column == Column("code", "string")


@pytest.mark.parametrize(
    ("classification", "masked"),
    [
        (None, False),
        ("public", False),
        ("internal", False),
        ("confidential", True),
        ("restricted", True),
        ("personal", True),
    ],
)
def test_values_are_masked_by_their_classification(classification: None, masked: bool) -> None:
    assert Field("code", classification=classification).masked is masked


# --- Contracts -----------------------------------------------------------------------------------


def test_the_key_is_in_the_order_of_its_positions() -> None:
    contract = make_contract(
        Field("a", key_position=2), Field("b"), Field("c", key_position=1), Field("d")
    )
    assert contract.key == ("c", "a")


def test_a_contract_without_a_key_has_an_empty_one() -> None:
    assert make_contract(Field("a"), Field("b")).key == ()


def test_a_table_has_the_contracts_columns_and_the_evolved_ones() -> None:
    contract = make_contract(
        Field("a", "integer", key_position=1),
        Field("b", "number", precision=12, scale=2, description="Price."),
        ordering="a",
        partition_by="a",
        description="Sales.",
    )
    added = AcceptedSchema(evolved=(EvolvedColumn(name="c", header="C"),))
    table = extend_contract(contract, added).table()
    assert table.columns == (
        Column("a", "integer", required=True),
        Column("b", "decimal", precision=12, scale=2, description="Price."),
        Column("c", "string"),
    )
    assert (table.dataset, table.key, table.ordering) == ("sales", ("a",), "a")
    assert (table.partition_by, table.description) == ("a", "Sales.")


def test_every_preset_says_what_every_kind_of_drift_does() -> None:
    assert set(DRIFT_PRESETS) == {"allow", "warn", "fail"}
    for preset in DRIFT_PRESETS.values():
        assert tuple(preset) == DRIFT_KINDS
        assert set(preset.values()) <= set(DRIFT_MODES)
    assert set(DRIFT_PRESETS["fail"].values()) == {"freeze"}


# --- Routing -------------------------------------------------------------------------------------

PATTERNS: dict[str, tuple[str, ...]] = {
    "weather": (),
    "edge": (),
    "edge_telemetry": (),
    "parcels": ("parcels/*", "registers/*/parcels_*.csv"),
    "registers": ("registers/*",),
    "archive_a": ("archive/*.csv",),
    "archive_b": ("archive/*",),
}


@pytest.mark.parametrize(
    ("name", "datasets"),
    [
        ("weather/2013.csv", ("weather",)),
        ("weather/2013/01/a.csv", ("weather",)),
        ("weather//a.csv", ("weather",)),
        ("weather/../parcels/a.csv", ("weather",)),
        ("Weather/2013.csv", ()),
        ("weather.csv", ()),
        ("weather", ()),
        ("/weather/a.csv", ()),
        ("old/weather/a.csv", ()),
        ("edge_telemetry/a.csv", ("edge_telemetry",)),
        ("edge/edge_telemetry.csv", ("edge",)),
        ("edge_telemetry_2024.csv", ()),
        ("parcels/a.csv", ("parcels",)),
        ("registers/north/parcels_1.csv", ("parcels", "registers")),
        ("registers/north/other.csv", ("registers",)),
        ("archive/a.csv", ("archive_a", "archive_b")),
        ("archive/a.xlsx", ("archive_b",)),
        ("", ()),
    ],
)
def test_an_object_belongs_to_the_dataset_of_its_path(name: str, datasets: tuple[str, ...]) -> None:
    assert route_object(name, PATTERNS) == datasets


def test_the_pattern_with_the_longest_literal_beginning_wins() -> None:
    patterns = {"all": ("*",), "folder": ("data/*",), "file": ("data/2024-*.csv",)}
    assert route_object("data/2024-01.csv", patterns) == ("file",)
    assert route_object("data/2023-01.csv", patterns) == ("folder",)
    assert route_object("other.csv", patterns) == ("all",)


def test_two_patterns_of_one_dataset_are_no_tie() -> None:
    assert route_object("a/b.csv", {"a": ("a/*.csv", "a/*")}) == ("a",)


@given(
    st.text(max_size=20),
    st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.just(())),
)
def test_by_default_only_the_first_folder_counts(
    name: str, patterns: dict[str, tuple[str, ...]]
) -> None:
    folder, slash, _ = name.partition("/")
    expected = (folder,) if slash and folder in patterns else ()
    assert route_object(name, patterns) == expected


def test_the_contract_imports_no_yaml_and_no_arrow() -> None:
    code = (
        "import sys, eventpulse.contracts.contract, eventpulse.odcs; heavy = "
        "{'yaml', 'open_data_contract_standard', 'pyarrow', 'sqlglot'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
