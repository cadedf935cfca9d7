"""Each rule of a row: what passes, what fails, and the whole of what is said about it."""

from __future__ import annotations

from typing import get_args

import pytest

from eventpulse.contracts.contract import Field, FieldOptions
from eventpulse.contracts.rules import READINGS, RowRule, explain_refusal
from eventpulse.ingestions.quality import Balance
from eventpulse.odcs.patterns import STRING_FORMATS
from tests.unit.rows.row_checks import cells_of, check, contract_of, field_of

AFTER = ". Correct it and upload the file again."


@pytest.mark.parametrize(
    ("rule", "ruled", "passing", "failing", "message"),
    [
        ("required", field_of(required=True), "a", None, "x is empty and must have a value."),
        (
            "logicalType",
            field_of("integer"),
            "1",
            "1.5",
            "x='1.5' is not a whole number (for example 42).",
        ),
        (
            "logicalType",
            field_of("number"),
            "1",
            "1,5",
            "x='1,5' is not a number (for example 21.5).",
        ),
        (
            "logicalType",
            field_of("integer"),
            "9223372036854775807",
            " -9223372036854775809",
            "x=' -9223372036854775809' is beyond the whole numbers of 64 bits "
            "(-9223372036854775808 to 9223372036854775807).",
        ),
        (
            "logicalType",
            field_of("number"),
            "1e308",
            "1e309",
            "x='1e309' is beyond the numbers of 64 bits (up to about 1.8e308).",
        ),
        (
            "logicalType",
            field_of("number", decimal_mark=","),
            "1,5",
            "1.5",
            "x='1.5' is not a number (for example 21,5).",
        ),
        (
            "logicalType",
            field_of("number", precision=9, scale=2),
            "1",
            "1.239",
            "x='1.239' is not a decimal number with at most 7 digits before and 2 after the point.",
        ),
        (
            "logicalType",
            field_of("boolean"),
            "true",
            "yes",
            "x='yes' is not true or false (for example true).",
        ),
        (
            "logicalType",
            field_of("date"),
            "2026-01-31",
            "2026-02-30",
            "x='2026-02-30' is a day that does not exist.",
        ),
        (
            "logicalType",
            field_of("date", formats=("%d/%m/%Y", "%d.%m.%Y")),
            "31.01.2026",
            "2026-01-31",
            "x='2026-01-31' is not a date in the format %d/%m/%Y or %d.%m.%Y.",
        ),
        (
            "logicalType",
            field_of("timestamp"),
            "2026-01-31T08:30:00Z",
            "2026-01-31 08:30",
            "x='2026-01-31 08:30' is not a time with its zone (for example 2026-01-31T08:30:00Z). "
            "Write its zone, or have the contract declare `dateFormats` without one, which means "
            "UTC.",
        ),
        (
            "logicalType",
            field_of("timestamp"),
            "2026-01-31T08:30:00Z",
            "2026-02-30T08:30:00Z",
            "x='2026-02-30T08:30:00Z' is a day or a time that does not exist.",
        ),
        (
            "logicalType",
            field_of("timestamp"),
            "2026-01-31T08:30:00.123456Z",
            "2026-01-31T08:30:00.123456789Z",
            "x='2026-01-31T08:30:00.123456789Z' is not a time with its zone (for example "
            "2026-01-31T08:30:00Z). Write at most 6 digits of a second.",
        ),
        (
            "logicalType",
            field_of("timestamp", formats=("%d.%m.%Y %H:%M",)),
            "31.01.2026 08:30",
            "2026-01-31 08:30",
            "x='2026-01-31 08:30' is not a day and time in the format %d.%m.%Y %H:%M.",
        ),
        (
            "logicalType",
            field_of("time"),
            "08:30",
            "24:00",
            "x='24:00' is a time of day that does not exist.",
        ),
        (
            "logicalType",
            field_of("object"),
            "{}",
            "{",
            "x='{' is not JSON (for example {\"a\": 1}).",
        ),
        (
            "minimum",
            field_of("integer", minimum="3"),
            "3",
            "2",
            "x='2' is less than the minimum 3.",
        ),
        (
            "maximum",
            field_of("number", maximum="2.5"),
            "2.5",
            "2.51",
            "x='2.51' is more than the maximum 2.5.",
        ),
        (
            "exclusiveMinimum",
            field_of("number", precision=9, scale=2, exclusive_minimum="0"),
            "0.01",
            "0.00",
            "x='0.00' must be more than 0.",
        ),
        (
            "exclusiveMaximum",
            field_of("date", exclusive_maximum="2026-01-31"),
            "2026-01-30",
            "2026-01-31",
            "x='2026-01-31' must be less than 2026-01-31.",
        ),
        (
            "multipleOf",
            field_of("number", precision=12, scale=2, multiple_of="0.05"),
            "1234567890.05",
            "1234567890.04",
            "x='1234567890.04' is not a multiple of 0.05.",
        ),
        (
            "minLength",
            field_of(min_length=3),
            "äöü",
            "ä",
            "x='ä' is shorter than 3 characters.",
        ),
        (
            "maxLength",
            field_of(max_length=3),
            "😀😀😀",
            "abcd",
            "x='abcd' is longer than 3 characters.",
        ),
        (
            "pattern",
            field_of(pattern="[A-Z]{2}|[0-9]+"),
            "123",
            "AB1",
            "x='AB1' does not match the pattern [A-Z]{2}|[0-9]+.",
        ),
        (
            "enum",
            field_of(enum=("new", "used")),
            "used",
            "New",
            "x='New' is not one of the allowed values: 'new', 'used'.",
        ),
        (
            "enum",
            field_of("integer", enum=tuple(map(str, range(20)))),
            "07",
            "20",
            "x='20' is not one of the allowed values: '0', '1', '2', '3', '4', '5', '6', '7', "
            "'8', '9', '10', '11' ….",
        ),
    ],
)
def test_a_rule_passes_and_fails(
    rule: RowRule, ruled: Field, passing: str, failing: str | None, message: str
) -> None:
    found = check(contract_of(ruled), cells_of(passing, failing or ""))
    assert list(found.accepted) == [1]
    assert found.messages == [(2, rule, message)]
    assert found.refused[0].failures[0].value == failing
    assert found.refused[0].row == {"x": failing or ""}
    assert found.facts("x", rule) == (2, 1)
    assert found.balance == Balance(
        rows_read=2, rows_accepted=1, rows_quarantined=1, rows_duplicate=0
    )


def test_a_repeated_key() -> None:
    contract = contract_of(
        field_of("integer", name="id", key_position=1), field_of(name="lang", key_position=2)
    )
    found = check(contract, [["1", "de"], ["1", "en"], ["01", "de"]])
    assert list(found.accepted) == [1, 2]
    message = "id=1, lang=de stands in an earlier row of this file; the first one was kept."
    assert found.messages == [(3, "primaryKey", message)]
    assert found.refused[0].duplicate
    assert found.facts("id+lang", "primaryKey") == (3, 1)
    assert found.balance == Balance(
        rows_read=3, rows_accepted=2, rows_quarantined=0, rows_duplicate=1
    )


def test_a_repeated_unique_value() -> None:
    found = check(contract_of(field_of(unique=True)), cells_of("a", "b", "a", "", ""))
    assert list(found.accepted) == [1, 2, 4, 5], "nothing is not a value"
    message = "x=a stands in an earlier row of this file; the first one was kept."
    assert found.messages == [(3, "unique", message)]
    assert found.facts("x", "unique") == (3, 1)


def test_a_malformed_row() -> None:
    found = check(contract_of(field_of()), cells_of("a", "b"), malformed=[2])
    assert found.messages == [(2, "malformed", f"the row has 1 cells{AFTER}")]
    assert found.refused[0].row == {"": "raw 2"}
    assert list(found.accepted) == [1, 3]
    assert found.balance.rows_quarantined == 1


def test_every_rule_has_its_words() -> None:
    tried = {"required", "logicalType", "minimum", "maximum", "exclusiveMinimum"}
    tried |= {"exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "enum"}
    tried |= {"primaryKey", "unique", "malformed"}
    assert set(get_args(RowRule)) == tried | {"drift", "objectColumns"}
    assert explain_refusal("unique", field_of(), "a") == (
        "x='a' stands in an earlier row too; x must be unique in a file."
    )
    assert explain_refusal("objectColumns", field_of(), "a") == (
        "x='a' is not what the object's name says; its rows carry their own only."
    )
    assert explain_refusal("drift", field_of(), "a") == (
        "x='a' stands in a column that the contract does not know, and its drift policy refuses "
        "rows with a value there."
    )
    assert {READINGS[each].name for each in READINGS} >= {"text", "JSON"}


@pytest.mark.parametrize("name", STRING_FORMATS)
def test_a_named_format_is_told_by_its_name_and_an_example_that_has_it(name: str) -> None:
    ruled = Field("x", options=FieldOptions(pattern=STRING_FORMATS[name], format=name))
    message = explain_refusal("pattern", ruled, "?")
    assert message.startswith("x='?' is not a")
    assert STRING_FORMATS[name] not in message
    example = message.partition("(for example ")[2].removesuffix(").")
    assert list(check(contract_of(ruled), cells_of(example)).accepted) == [1]


def test_a_null_breaks_no_rule_but_required() -> None:
    ruled = [
        field_of("integer", name="a", minimum="3", maximum="4", multiple_of="2", enum=("4",)),
        field_of(name="b", min_length=2, max_length=3, pattern="x+", enum=("xx",)),
        field_of("number", name="c", exclusive_minimum="1", exclusive_maximum="2"),
        field_of("integer", name="d", unique=True),
    ]
    found = check(contract_of(*ruled), [["", "", "", ""], ["", "", "", ""]])
    assert found.messages == []
    assert found.accepted == {1: (None,) * 4, 2: (None,) * 4}


@pytest.mark.parametrize(
    ("ruled", "passing", "failing"),
    [
        (field_of("number", precision=38, scale=9, minimum="0.5"), "0.5", "0.499999999"),
        (field_of("number", precision=38, scale=0, minimum="0.5"), "1", "0"),
        (field_of("number", precision=38, scale=38, maximum="0.5"), "0.5", "0." + "5" * 38),
        (field_of("number", precision=9, scale=2, maximum="1.005"), "1.00", "1.01"),
        (field_of("number", precision=9, scale=2, maximum="99999999999"), "1.00", None),
        (field_of("integer", maximum="-5"), "-5", "-4"),
        (
            field_of("timestamp", minimum="2026-01-01T00:00:00Z"),
            "2026-01-01T02:00:00+02:00",
            "2026-01-01T01:59:59+02:00",
        ),
        (field_of("integer", multiple_of="3"), "-9", "10"),
        (field_of("integer", multiple_of="0.5"), "10", None),
        (field_of("number", multiple_of="0.1"), "0.3", "0.35"),
        (field_of("number", multiple_of="0.01"), "123456789.01", "1.015"),
        (
            field_of("number", precision=38, scale=9, multiple_of="1"),
            "1" * 29,
            "1" * 29 + ".000000001",
        ),
        (field_of("number", precision=38, scale=0, multiple_of="7"), "7" * 38, "7" * 37 + "8"),
    ],
)
def test_bounds_are_exact(ruled: Field, passing: str, failing: str | None) -> None:
    found = check(contract_of(ruled), cells_of(passing, *([failing] if failing else [])))
    assert list(found.accepted) == [1]
    assert len(found.refused) == (failing is not None)
    assert all(failure.rule != "logicalType" for row in found.refused for failure in row.failures)


# --- Keys that no warehouse holds ----------------------------------------------------------------

A = Field("a", key_position=2, required=True)
N = Field("n", type="integer", key_position=1, required=True)


@pytest.mark.parametrize("repeated", [1, 50])
def test_a_key_of_more_bytes_than_a_warehouse_holds(repeated: int) -> None:
    """Bytes of UTF-8 of all its text columns, whether texts repeat in a batch or not."""
    b = Field("b", key_position=3, classification="personal")
    contract = contract_of(N, A, b, Field("note"))
    longest = ("é" * 1_000, "y" * 48)
    rows = [[str(n), *longest, "z" * 9_999] for n in range(repeated)]
    rows += [[str(n), longest[0], longest[1] + "x", ""] for n in range(repeated, 2 * repeated)]
    found = check(contract, rows)
    assert sorted(found.accepted) == list(range(1, repeated + 1))
    message = (
        "the key n+a+b has 2,049 bytes of text, more than the 2,048 that a key may have. "
        "Shorten it, or key by something shorter."
    )
    refused = range(repeated + 1, 2 * repeated + 1)
    assert found.messages == [(record, "primaryKey", message) for record in refused]
    assert found.facts("n+a+b", "primaryKey") == (2 * repeated, repeated)
    samples = found.checker.rules["n+a+b", "primaryKey"].samples
    assert samples[0] == {"record": repeated + 1, "value": "2,049 bytes"}


def test_a_long_key_twice_is_refused_twice_and_no_duplicate() -> None:
    found = check(contract_of(A), [["x" * 3_000], ["x" * 3_000], ["y"]])
    assert found.balance == Balance(
        rows_read=3, rows_accepted=1, rows_quarantined=2, rows_duplicate=0
    )


def test_a_long_text_beside_the_key_is_held() -> None:
    found = check(contract_of(N, Field("note", unique=True)), [["1", "x" * 9_000]])
    assert found.messages == []
