"""Schema drift: what is none, what is some, and what each mode makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import (
    DRIFT_KINDS,
    DRIFT_MODES,
    DRIFT_PRESETS,
    Contract,
    Dialect,
    DriftKind,
    DriftMode,
    Field,
)
from eventpulse.drift.accepted_schema import AcceptedSchema, EvolvedColumn, extend_contract
from eventpulse.drift.verdict import (
    MOST_EVOLVED,
    Change,
    DriftVerdict,
    column_name,
    compare_columns,
    compare_header,
    describe_changes,
    hash_schema,
    match_header,
    observed_type,
    plan_trial,
    propose_patch,
    refused_headers,
)
from eventpulse.formats import TextBatch
from eventpulse.odcs.fields import COLUMN_NAME
from eventpulse.ports import Json
from eventpulse.rows.validation import RowChecker

FIELDS = (
    Field("id", type="integer", required=True),
    Field("day", type="date"),
    Field("price", type="number", precision=9, scale=2),
    Field("weight", type="number"),
    Field("city", header="Town", aliases=("Place", "Locality")),
)


def contract_of(*fields: Field, **modes: DriftMode) -> Contract:
    kinds: dict[DriftKind, DriftMode] = {**DRIFT_PRESETS["warn"]}
    for kind in DRIFT_KINDS:
        kinds[kind] = modes.get(kind, kinds[kind])
    dialect = Dialect(null_markers=("", "NA"))
    return Contract("sales", "1.0.0", "", fields or FIELDS, drift=kinds, dialect=dialect)


def header_changes(
    contract: Contract, *header: str, schema: AcceptedSchema | None = None
) -> list[Change]:
    return compare_header(contract, match_header(contract, header), schema or AcceptedSchema())


def facts_of(contract: Contract, **columns: list[str]) -> list[dict[str, Json]]:
    """The facts that validation gathers from these cells, in the contract's order."""
    header = list(columns)
    checker = RowChecker(contract, header, match_header(contract, header).positions)
    rows = len(next(iter(columns.values())))
    cells = [pa.array(each, pa.string()) for each in columns.values()]
    checker.check(TextBatch(pa.array(range(1, rows + 1), pa.int64()), cells))
    return checker.describe_columns()


def column_changes(contract: Contract, **columns: list[str]) -> list[Change]:
    return compare_columns(contract, facts_of(contract, **columns))


ROWS = {
    "id": ["1", "2", "3"],
    "day": ["2026-01-01", "2026-01-02", "2026-01-03"],
    "price": ["1.50", "2.00", "3.25"],
    "weight": ["1.5", "2", "3e2"],
    "Town": ["Kiel", "Bonn", "Ulm"],
}


# --- No drift ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("as the contract says", {}),
        ("an integer column gains one null", {"id": ["1", "", "3"]}),
        ("an integer column gains one marked null", {"id": ["1", "NA", "3"]}),
        ("a column goes empty", {"price": ["", "", ""], "day": ["NA", "", "NA"]}),
        ("whole numbers in a column of decimals", {"price": ["1", "2", "3"]}),
        ("whole numbers in a column of numbers", {"weight": ["1", "2", "3"]}),
        ("numbers in a column of text", {"Town": ["1", "2", "3"]}),
        ("dates in a column of text", {"Town": ROWS["day"]}),
        ("one wrong cell of three", {"price": ["1.5", "x", "3"]}),
        ("white space around numbers", {"id": [" 1", "2 ", "\t3"]}),
        ("a number beyond 64 bits is a wrong value", {"id": ["9" * 20] * 3}),
        ("a day that does not exist is a wrong value", {"day": ["2026-02-30"] * 3}),
    ],
)
def test_what_is_no_drift(why: str, changed: dict[str, list[str]]) -> None:
    assert column_changes(contract_of(), **{**ROWS, **changed}) == [], why


@pytest.mark.parametrize(
    "header",
    [
        ["id", "day", "price", "weight", "Town"],
        ["Town", "weight", "price", "day", "id"],
        ["id", "day", "price", "weight", "city"],
        ["id", "day", "price", "weight", "Place"],
        ["Locality", "id", "day", "price", "weight"],
    ],
)
def test_order_and_declared_names_are_no_drift(header: list[str]) -> None:
    assert header_changes(contract_of(), *header) == []


def test_a_column_that_fits_in_half_of_its_cells_is_not_retyped() -> None:
    half = {"id": ["1", "2"], "price": ["1.5", "2"], "weight": ["x", "1"]}
    assert column_changes(contract_of(), **half) == []


def test_the_accepted_schema_does_not_depend_on_the_order_of_columns() -> None:
    observed = {"a": "integer", "b": "string"}
    assert hash_schema(observed) == hash_schema(dict(reversed(observed.items())))
    assert hash_schema(observed) != hash_schema({"a": "integer", "b": "number"})
    assert hash_schema(observed) != hash_schema({"a": "integer", "c": "string"})


# --- The header ----------------------------------------------------------------------------------


def test_fields_are_found_under_their_names_the_preferred_one_first() -> None:
    match = match_header(contract_of(), ["Place", "Town", "id", "extra"])
    assert match.positions == (2, None, None, None, 1)
    assert [each.name for each in match.missing] == ["day", "price", "weight"]
    assert match.unknown == ("extra",)
    assert match.again == ("Place",), "a second name of a column that is there"


def test_names_are_exact() -> None:
    match = match_header(contract_of(), ["ID", "town", "Id "])
    assert match.positions == (None,) * 5
    assert match.unknown == ("ID", "town", "Id ")


def test_of_columns_with_one_name_the_first_is_meant() -> None:
    match = match_header(contract_of(Field("a")), ["a", "a"])
    assert (match.positions, match.again) == ((0,), ("a",))


def test_one_column_of_a_file_never_carries_two_fields() -> None:
    contract = contract_of(Field("code", header="number"), Field("number", header="phone"))
    assert match_header(contract, ["number", "phone"]).positions == (0, 1)
    without = match_header(contract, ["number"])
    assert without.positions == (0, None)
    assert [each.name for each in without.missing] == ["number"]
    swapped = contract_of(Field("number", header="phone"), Field("code", header="number"))
    assert match_header(swapped, ["number"]).positions == (None, 0)


@given(st.permutations(["id", "day", "price", "weight", "Place", "new"]))
def test_the_order_of_columns_changes_no_finding(header: list[str]) -> None:
    contract = contract_of()
    match = match_header(contract, header)
    assert [header[p] for p in match.positions if p is not None] == [
        "id",
        "day",
        "price",
        "weight",
        "Place",
    ]
    assert [each.column for each in compare_header(contract, match, AcceptedSchema())] == ["new"]


# --- Modes ---------------------------------------------------------------------------------------


def told(change: Change) -> tuple[str, str, bool, str]:
    return change.kind, change.column, change.rejects, change.effect


@pytest.mark.parametrize(
    ("mode", "rejects", "effect"),
    [
        ("evolve", False, "a nullable text column 'net_price' is added to the table"),
        (
            "freeze",
            True,
            "the contract does not know the column 'Net price' and its policy refuses that",
        ),
        ("discard_value", False, "the values of 'Net price' are not loaded"),
        ("discard_row", False, "rows with a value in 'Net price' are not loaded"),
    ],
)
def test_an_added_column(mode: DriftMode, rejects: bool, effect: str) -> None:
    [change] = header_changes(contract_of(Field("id"), added=mode), "id", "Net price")
    assert told(change) == ("added", "Net price", rejects, effect)
    assert change.seen == "the file has a column 'Net price' that the contract does not name"


@pytest.mark.parametrize(
    ("header", "column", "remedy"),
    [
        (
            ["", ""],
            "2 columns without a name",
            "give each a header, or leave it out (a delimiter at the end of lines makes one)",
        ),
        (
            ["Place"],
            "'Place'",
            "'Place' is one more name of the column 'city', which the file has already: leave one "
            "of the two out",
        ),
    ],
)
@pytest.mark.parametrize(
    ("mode", "rejects", "effect"),
    [
        ("evolve", False, "the values of {} are not loaded"),
        ("freeze", True, "the contract does not know {} and its policy refuses that"),
        ("discard_value", False, "the values of {} are not loaded"),
        ("discard_row", False, "rows with a value in {} are not loaded"),
    ],
)
def test_an_added_column_that_nothing_can_take_over(
    mode: DriftMode, rejects: bool, effect: str, header: list[str], column: str, remedy: str
) -> None:
    contract = contract_of(Field("id"), Field("city", aliases=("Place",)), added=mode)
    [change] = changes = header_changes(contract, "id", "city", *header)
    told_effect = f"{effect.format(column)}; {remedy}"
    assert told(change) == ("added", header[0], rejects, told_effect)
    assert plan_trial(contract, AcceptedSchema(), changes).is_empty
    assert propose_patch(changes, contract, AcceptedSchema()) == []
    assert refused_headers(changes) == ([header[0]] if mode == "discard_row" else [])


@pytest.mark.parametrize(
    ("mode", "rejects", "effect"),
    [
        ("evolve", False, "the column 'day' is read as empty, and may stay away from now on"),
        ("freeze", True, "the column 'day' is gone and the drift policy refuses that"),
        ("discard_value", False, "the column 'day' is read as empty"),
        (
            "discard_row",
            True,
            "the column 'day' is gone and the drift policy refuses rows without it, which are all",
        ),
    ],
)
def test_a_removed_optional_column(mode: DriftMode, rejects: bool, effect: str) -> None:
    contract = contract_of(Field("id"), Field("day", type="date"), removed=mode)
    [change] = header_changes(contract, "id")
    assert told(change) == ("removed", "day", rejects, effect)
    assert change.seen == "no column of the file is called 'day'"


def test_a_removal_that_was_accepted_is_no_news_under_evolve_alone() -> None:
    schema = AcceptedSchema(observed={"id": "string"})
    evolving = contract_of(Field("id"), Field("day"), removed="evolve")
    assert header_changes(evolving, "id", schema=schema) == []
    warning = contract_of(Field("id"), Field("day"), removed="discard_value")
    assert len(header_changes(warning, "id", schema=schema)) == 1
    required = contract_of(Field("id"), Field("day", required=True), removed="evolve")
    assert [each.rejects for each in header_changes(required, "id", schema=schema)] == [True]


def test_a_file_with_columns_without_end_is_refused() -> None:
    contract = contract_of(Field("id"), added="evolve")
    changes = header_changes(contract, "id", *(f"c{n}" for n in range(MOST_EVOLVED + 1)))
    assert all(change.rejects for change in changes)
    assert "send the contract's columns" in changes[0].effect


@pytest.mark.parametrize("mode", DRIFT_MODES)
@pytest.mark.parametrize(
    "field",
    [
        Field("id", header="Id", aliases=("Number",), required=True),
        Field("id", header="Id", aliases=("Number",), key_position=1),
    ],
    ids=["required", "key"],
)
def test_a_removed_required_column_always_rejects(mode: DriftMode, field: Field) -> None:
    changes = header_changes(contract_of(field, Field("day"), removed=mode), "day")
    assert [(change.kind, change.column, change.rejects) for change in changes] == [
        ("removed", "id", True)
    ]
    assert changes[0].effect == (
        "the required column 'id' is not in the file: send it under one of the names "
        "'Id', 'id', 'Number'"
    )


@pytest.mark.parametrize(
    ("mode", "rejects", "ending"),
    [
        ("evolve", False, "the table's column becomes string"),
        ("freeze", True, "the policy refuses that"),
        ("discard_row", False, "those rows are refused"),
        ("discard_value", False, "those values are dropped and their rows kept"),
    ],
)
def test_a_retyped_column(mode: DriftMode, rejects: bool, ending: str) -> None:
    changed = {**ROWS, "id": ["A-1", "A-2", "3"]}
    [change] = column_changes(contract_of(retyped=mode), **changed)
    effect = f"most of 'id' reads as string, not integer; {ending}"
    assert told(change) == ("retyped", "id", rejects, effect)
    assert (change.expected, change.observed, change.becomes) == ("integer", "string", "string")
    assert change.seen == "2 of 3 values of 'id' are no integer"


WIDENED: list[tuple[Field, list[str], str | None]] = [
    (Field("v", type="integer"), ["1.5", "2.5", "3"], "number"),
    (Field("v", type="integer"), ["a", "b", "3"], "string"),
    (Field("v", type="integer"), ["2026-01-01", "2026-01-02", "3"], "string"),
    (Field("v", type="number"), ["a", "b", "3"], "string"),
    (Field("v", type="boolean"), ["1", "0", "1"], "string"),
    (Field("v", type="date"), ["2026-01-01T08:00:00Z", "2026-01-01T09:00:00Z"], "timestamp"),
    (Field("v", type="date"), ["2026-01-01T08:00:00Z", "yesterday"], "string"),
    (Field("v", type="timestamp"), ["2026-01-01", "2026-01-02"], "string"),
    (Field("v", type="time"), ["noon", "midnight"], "string"),
    (Field("v", type="number", precision=9, scale=2), ["1.239", "2.345"], None),
    (Field("v", type="integer", key_position=1), ["a", "b", "3"], None),
]


@pytest.mark.parametrize(("field", "cells", "becomes"), WIDENED)
def test_what_a_column_becomes(field: Field, cells: list[str], becomes: str | None) -> None:
    [change] = column_changes(contract_of(field, retyped="evolve"), v=cells)
    assert change.becomes == becomes
    assert change.rejects == (becomes is None)
    if becomes is None:
        assert "publish a contract under another dataset" in change.effect


def test_the_columns_that_order_and_partition_do_not_grow() -> None:
    dated = contract_of(Field("v", type="date"), retyped="evolve")
    for contract in (replace(dated, ordering="v"), replace(dated, partition_by="v")):
        [change] = column_changes(contract, v=["2026-01-01T08:00:00Z"])
        assert (change.rejects, change.becomes) == (True, None)


def test_a_column_grows_no_wider_for_what_the_breaker_lets_pass() -> None:
    contract = contract_of(Field("v", type="integer"), retyped="evolve")
    for wrong, becomes in ((5, "number"), (6, "string")):
        cells = ["1.5"] * (100 - wrong) + ["?"] * wrong
        [change] = column_changes(contract, v=cells)
        assert change.becomes == becomes


@pytest.mark.parametrize(
    ("mode", "rejects", "ending"),
    [
        ("evolve", False, "; it is optional from now on"),
        ("freeze", True, "; the policy refuses that"),
        ("discard_row", False, "; those rows are refused"),
        ("discard_value", False, "; they are loaded without it"),
    ],
)
def test_a_required_column_that_is_mostly_empty(
    mode: DriftMode, rejects: bool, ending: str
) -> None:
    contract = contract_of(Field("id", type="integer", required=True), nullability=mode)
    [change] = column_changes(contract, id=["", "", "3"])
    effect = f"most rows have no value in the required column 'id'{ending}"
    assert told(change) == ("nullability", "id", rejects, effect)
    assert change.seen == "2 of 3 rows have no 'id'"
    assert column_changes(contract, id=["", "2", "3"]) == [], "its rows are wrong, not the column"


def test_a_key_is_never_optional() -> None:
    for mode in DRIFT_MODES:
        contract = contract_of(Field("id", key_position=1), nullability=mode)
        [change] = column_changes(contract, id=["", "", "3"])
        assert change.rejects == (mode != "discard_row")


@pytest.mark.parametrize(
    ("cells", "observed"),
    [
        (["1.5", "2.5", "3.5"], "number"),
        (["1.5", "2", "3.5"], "number"),
        (["2026-01-01", "2026-01-02", "7"], "date"),
        (["true", "false", "true"], "boolean"),
        (["2026-01-01T08:00:00Z", "2026-01-01T09:00:00Z", "1"], "timestamp"),
        (["2026-01-01", "true", "x"], "string"),
        (["x", "y", "1"], "string"),
        (["1,5", "2,5", "3,5"], "string"),
    ],
)
def test_what_a_retyped_column_is_observed_as(cells: list[str], observed: str) -> None:
    facts = facts_of(contract_of(Field("id", type="integer")), id=cells)
    assert observed_type(facts[0]) == observed


def test_whole_numbers_among_wrong_decimals_read_as_numbers() -> None:
    facts: dict[str, Json] = {
        "type": "date",
        "cells": 4,
        "mistyped": 4,
        "readings": {"integer": 1, "number": 3},
    }
    assert observed_type(facts) == "number"


@pytest.mark.parametrize(
    ("preset", "modes"),
    [
        ("allow", ["evolve", "evolve", "evolve", "evolve", "evolve"]),
        ("warn", ["discard_value", "discard_value", "freeze", "discard_row", "discard_row"]),
        ("fail", ["freeze"] * 5),
    ],
)
def test_what_the_presets_are_short_for(preset: str, modes: list[DriftMode]) -> None:
    assert list(DRIFT_PRESETS[preset]) == list(DRIFT_KINDS)
    assert list(DRIFT_PRESETS[preset].values()) == modes


# --- Columns that drift added --------------------------------------------------------------------


EVOLVED = AcceptedSchema(evolved=(EvolvedColumn(name="net_price", header="Net price"),))


def test_a_column_that_drift_added_is_nullable_text() -> None:
    extended = extend_contract(contract_of(Field("id")), EVOLVED)
    added = extended.fields[-1]
    assert (added.name, added.header, added.column_type) == ("net_price", "Net price", "string")
    assert not added.column.required
    assert match_header(extended, ["Net price", "id"]).positions == (1, 0)


def test_a_column_that_drift_added_may_come_and_go() -> None:
    contract = extend_contract(contract_of(Field("id"), removed="freeze", added="freeze"), EVOLVED)
    for header in (["id"], ["id", "Net price"]):
        assert header_changes(contract, *header, schema=EVOLVED) == []


def test_a_column_that_the_contract_learnt_to_know_is_the_contracts() -> None:
    contract = contract_of(Field("net_price", type="number", header="Net price"))
    assert extend_contract(contract, EVOLVED).fields == contract.fields


def test_two_headers_that_give_one_name_give_one_column() -> None:
    columns = (EvolvedColumn(name="a_b", header="a b"), EvolvedColumn(name="a_b", header="a-b"))
    evolved = AcceptedSchema(evolved=columns)
    extended = extend_contract(contract_of(Field("id")), evolved)
    assert [(each.name, each.header) for each in extended.fields] == [("id", ""), ("a_b", "a b")]
    known = contract_of(Field("A_B"))
    assert extend_contract(known, evolved).fields == known.fields, "case does not tell names apart"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Net price", "net_price"),
        ("  Größe (cm) ", "gr_e_cm"),
        ("2026", "c_2026"),
        ("a--b__c", "a_b__c"),
        ("", "column"),
        ("€", "column"),
        ("_id_", "id"),
        ("x" * 400, "x" * 60),
        ("1" * 400, "c_" + "1" * 58),
    ],
)
def test_names_of_new_columns(header: str, name: str) -> None:
    assert column_name(header) == name


@given(st.text(max_size=300))
def test_every_header_gives_a_name_that_a_warehouse_takes(header: str) -> None:
    name = column_name(header)
    assert name.isascii()
    assert name.replace("_", "a").isalnum()
    assert name[0].isalpha()
    assert name == name.lower()
    assert 1 <= len(name) <= 60


# --- What is told --------------------------------------------------------------------------------


def test_the_patch_would_accept_what_was_seen() -> None:
    contract = contract_of(removed="freeze", added="freeze", retyped="freeze")
    changes = header_changes(contract, "id", "day", "price", "weight", "Net price")
    changes += column_changes(contract, **{**ROWS, "id": ["a", "b", "c"]})
    assert propose_patch(changes, contract, AcceptedSchema()) == [
        {"op": "remove", "property": {"name": "city"}},
        {
            "op": "add",
            "property": {
                "name": "net_price",
                "physicalName": "Net price",
                "logicalType": "string",
            },
        },
        {"op": "replace", "property": {"name": "id", "logicalType": "string"}},
    ]


def test_a_rejection_tells_what_rejects_and_nothing_else() -> None:
    contract = contract_of(added="discard_value", removed="freeze")
    changes = header_changes(contract, "id", "day", "price", "weight", "extra")
    assert describe_changes(changes) == (
        "the column 'city' is gone and the drift policy refuses that."
    )
    tolerated = [change for change in changes if not change.rejects]
    assert describe_changes(tolerated) == "the values of 'extra' are not loaded."
    assert describe_changes([]) == "The file has the columns of its contract."


def test_the_patch_names_columns_as_the_table_does() -> None:
    """Headers that make one name, and names of a contract's column and of one that drift added."""
    schema = AcceptedSchema(evolved=(EvolvedColumn(name="total", header="Total"),))
    contract = contract_of(Field("city", header="Town"), added="evolve")
    known = extend_contract(contract, schema)
    headers = ["CITY", "Net price", "net-price", "TOTAL"]
    changes = header_changes(known, "Town", "Total", *headers, schema=schema)
    names = ["city_2", "net_price", "net_price_2", "total_2"]
    assert [each.name for each in plan_trial(known, schema, changes).evolved] == names
    assert [each["property"]["name"] for each in propose_patch(changes, known, schema)] == names
    assert [each.effect for each in changes] == [
        f"a nullable text column '{name}' is added to the table" for name in names
    ]


def test_long_names_that_are_told_apart_are_names_still() -> None:
    contract = contract_of(Field("id"), added="evolve")
    headers = ["id", *("x" * 70 + " " * n + "!" for n in range(MOST_EVOLVED))]
    names = [
        each.name
        for each in plan_trial(
            contract, AcceptedSchema(), header_changes(contract, *headers)
        ).evolved
    ]
    assert len(set(names)) == MOST_EVOLVED
    assert all(COLUMN_NAME.fullmatch(name) for name in names)


def test_documents_are_read_back_as_they_were_written() -> None:
    changes = header_changes(contract_of(), "id", "new")
    verdict = DriftVerdict(
        ingestion="i",
        dataset="sales",
        contract_version="1.0.0",
        outcome="evolved",
        message=describe_changes(changes),
        header=["id", "new"],
        observed={"id": "integer"},
        changes=changes,
        patch=propose_patch(changes, contract_of(), AcceptedSchema()),
    )
    assert DriftVerdict.model_validate_json(verdict.model_dump_json()) == verdict
    schema = AcceptedSchema(version=3, evolved=EVOLVED.evolved, observed={"id": "integer"})
    assert AcceptedSchema.model_validate(schema.model_dump(mode="json")) == schema


def test_a_contract_without_a_policy_warns() -> None:
    contract = replace(contract_of(), drift=Contract("a", "1", "", ()).drift)
    modes: dict[Any, Any] = {change.kind: change.mode for change in header_changes(contract, "x")}
    assert modes == {"removed": "discard_value", "added": "discard_value"}
