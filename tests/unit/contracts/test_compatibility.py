"""Compatibility of contract versions: each kind of difference, its direction and its step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eventpulse.contracts.compatibility import (
    BUMPS,
    Bump,
    compare_contracts,
    is_enough,
    judge_differences,
    judge_transitive,
    raise_version,
)
from eventpulse.contracts.contract import (
    DRIFT_PRESETS,
    Contract,
    Dialect,
    Field,
    FieldOptions,
    QualityRule,
    ServiceLevel,
)

ID = Field("id", "integer", key_position=1, required=True)
RULE = QualityRule("rows", "library", "mustBeGreaterThan", (0.0,), metric="rowCount")


def contract_of(*fields: Field, **parts: Any) -> Contract:
    return Contract("sales", "1.0.0", "", (ID, *fields), **parts)


def field_of(**parts: Any) -> Contract:
    return contract_of(Field("v", **{"type": "string", **parts}))


def option(kind: str = "integer", **options: Any) -> Contract:
    return field_of(type=kind, options=FieldOptions(**options))


YES, NO = True, False

PAIRS: list[tuple[str, Contract, Contract, bool, bool, Bump]] = [
    ("nothing", field_of(), field_of(), YES, YES, "none"),
    ("an optional column is added", contract_of(), field_of(), YES, YES, "minor"),
    ("a required column is added", contract_of(), field_of(required=True), NO, YES, "major"),
    (
        "an optional column is added where none may be missing",
        contract_of(drift=DRIFT_PRESETS["fail"]),
        replace(field_of(), drift=DRIFT_PRESETS["fail"]),
        NO,
        NO,
        "major",
    ),
    ("a column is removed", field_of(), contract_of(), YES, YES, "major"),
    ("a required column is removed", field_of(required=True), contract_of(), YES, NO, "major"),
    (
        "integers become numbers",
        field_of(type="integer"),
        field_of(type="number"),
        YES,
        NO,
        "major",
    ),
    (
        "numbers become integers",
        field_of(type="number"),
        field_of(type="integer"),
        NO,
        YES,
        "major",
    ),
    ("dates become moments", field_of(type="date"), field_of(type="timestamp"), NO, NO, "major"),
    ("dates become text", field_of(type="date"), field_of(), YES, NO, "major"),
    (
        "more digits",
        field_of(type="number", precision=9, scale=2),
        field_of(type="number", precision=12, scale=2),
        YES,
        NO,
        "minor",
    ),
    (
        "fewer digits",
        field_of(type="number", precision=9, scale=2),
        field_of(type="number", precision=9, scale=3),
        NO,
        YES,
        "major",
    ),
    ("it is required", field_of(), field_of(required=True), NO, YES, "major"),
    ("it is optional", field_of(required=True), field_of(), YES, NO, "minor"),
    ("it is unique", field_of(), field_of(unique=True), NO, YES, "major"),
    ("it is unique no more", field_of(unique=True), field_of(), YES, NO, "minor"),
    ("an alias is added", field_of(), field_of(aliases=("w",)), YES, NO, "minor"),
    ("an alias is left out", field_of(aliases=("w",)), field_of(), NO, YES, "major"),
    ("a minimum", option(), option(minimum="0"), NO, YES, "major"),
    ("a greater minimum", option(minimum="9"), option(minimum="10"), NO, YES, "major"),
    ("a smaller minimum", option(minimum="10"), option(minimum="9"), YES, NO, "minor"),
    ("no minimum", option(minimum="10"), option(), YES, NO, "minor"),
    ("a smaller maximum", option(maximum="10"), option(maximum="9"), NO, YES, "major"),
    ("a greater maximum", option(maximum="9"), option(maximum="10"), YES, NO, "minor"),
    (
        "a later first day",
        option("date", minimum="1999-12-31"),
        option("date", minimum="2000-01-01"),
        NO,
        YES,
        "major",
    ),
    ("longer", option("string", max_length=9), option("string", max_length=10), YES, NO, "minor"),
    ("a pattern", option("string"), option("string", pattern="a"), NO, YES, "major"),
    ("no pattern", option("string", pattern="a"), option("string"), YES, NO, "minor"),
    (
        "another pattern",
        option("string", pattern="a"),
        option("string", pattern="b"),
        NO,
        NO,
        "major",
    ),
    ("another value", option(enum=("1",)), option(enum=("1", "2")), YES, NO, "minor"),
    ("a value less", option(enum=("1", "2")), option(enum=("1",)), NO, YES, "major"),
    ("a list of values", option(), option(enum=("1",)), NO, YES, "major"),
    ("no list of values", option(enum=("1",)), option(), YES, NO, "minor"),
    (
        "a format more",
        field_of(type="date", formats=("%d.%m.%Y",)),
        field_of(type="date", formats=("%d.%m.%Y", "%Y-%m-%d")),
        YES,
        NO,
        "minor",
    ),
    (
        "a format in place of ISO",
        field_of(type="date"),
        field_of(type="date", formats=("%d.%m.%Y",)),
        NO,
        NO,
        "major",
    ),
    ("a classification", field_of(), field_of(classification="personal"), YES, YES, "minor"),
    ("a description", field_of(), field_of(description="v"), YES, YES, "patch"),
    (
        "another key",
        field_of(),
        replace(field_of(), fields=(ID, Field("v", key_position=2))),
        NO,
        NO,
        "major",
    ),
    ("an ordering", contract_of(), contract_of(ordering="id"), NO, NO, "major"),
    ("a delimiter", contract_of(), contract_of(dialect=Dialect(delimiter=";")), NO, YES, "major"),
    (
        "no delimiter",
        contract_of(dialect=Dialect(delimiter=";")),
        contract_of(),
        YES,
        NO,
        "minor",
    ),
    (
        "another delimiter",
        contract_of(dialect=Dialect(delimiter=";")),
        contract_of(dialect=Dialect(delimiter="|")),
        NO,
        NO,
        "major",
    ),
    (
        "an escape character",
        contract_of(),
        contract_of(dialect=Dialect(escape="\\")),
        NO,
        NO,
        "major",
    ),
    (
        "a null marker",
        contract_of(),
        contract_of(dialect=Dialect(null_markers=("", "NA"))),
        YES,
        NO,
        "minor",
    ),
    ("a path", contract_of(), contract_of(path_patterns=("sales/*", "b/*")), YES, NO, "minor"),
    ("another path", contract_of(), contract_of(path_patterns=("b/*",)), NO, NO, "major"),
    ("a policy", contract_of(), contract_of(drift=DRIFT_PRESETS["allow"]), YES, YES, "minor"),
    ("a breaker", contract_of(), contract_of(max_invalid_percent=1), NO, YES, "major"),
    ("a laxer breaker", contract_of(), contract_of(max_invalid_percent=9), YES, NO, "minor"),
    ("a rule", contract_of(), contract_of(quality=(RULE,)), NO, YES, "major"),
    (
        "a warning",
        contract_of(),
        contract_of(quality=(replace(RULE, severity="warning"),)),
        YES,
        YES,
        "minor",
    ),
    ("no rule", contract_of(quality=(RULE,)), contract_of(), YES, NO, "minor"),
    (
        "another rule",
        contract_of(quality=(RULE,)),
        contract_of(quality=(replace(RULE, bounds=(5.0,)),)),
        NO,
        YES,
        "major",
    ),
    (
        "a service level",
        contract_of(),
        contract_of(service_level=ServiceLevel(latency=60)),
        YES,
        YES,
        "patch",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "backward", "forward", "bump"),
    [pair[1:] for pair in PAIRS],
    ids=[pair[0] for pair in PAIRS],
)
def test_each_difference_has_its_directions_and_its_step(
    old: Contract, new: Contract, backward: bool, forward: bool, bump: Bump
) -> None:
    differences = compare_contracts(old, new)
    found = judge_differences(differences)
    assert (found.backward, found.forward, found.bump) == (backward, forward, bump)
    assert found.full == (backward and forward)
    assert (
        found.mode
        == {
            (YES, YES): "FULL",
            (YES, NO): "BACKWARD",
            (NO, YES): "FORWARD",
            (NO, NO): "NONE",
        }[backward, forward]
    )
    assert bool(differences) == (bump != "none")
    assert all(each.what and each.why for each in differences)


def test_transitive_compatibility_holds_with_every_version_before() -> None:
    versions = [option(minimum="5"), option(minimum="1"), option(minimum="3")]
    assert (
        judge_differences(compare_contracts(versions[-1], option(minimum="2"))).mode == "BACKWARD"
    )
    assert judge_transitive(versions, option(minimum="2")).mode == "NONE"
    assert judge_transitive(versions, option()).mode == "BACKWARD"


@pytest.mark.parametrize(
    ("version", "bump", "after"),
    [
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("0.0.9", "minor", "0.1.0"),
        ("2024-01", "major", "2024-01.1"),
    ],
)
def test_the_next_version_is_the_least_that_is_enough(version: str, bump: Bump, after: str) -> None:
    assert raise_version(version, bump) == after
    assert is_enough(version, after, bump)


@pytest.mark.parametrize(
    ("old", "new", "enough"),
    [
        ("1.2.3", "1.2.4", ["none", "patch"]),
        ("1.2.3", "1.3.0", ["none", "patch", "minor"]),
        ("1.2.3", "2.0.0", ["none", "patch", "minor", "major"]),
        ("1.2.3", "1.2.3", []),
        ("1.2.3", "1.1.9", []),
        ("1.10.0", "1.9.0", []),
        ("2024-01", "2023-12", ["none", "patch", "minor", "major"]),
        ("1.2.3", "next", ["none", "patch", "minor", "major"]),
    ],
)
def test_which_step_is_enough_for_which_change(old: str, new: str, enough: list[str]) -> None:
    assert [bump for bump in BUMPS if is_enough(old, new, bump)] == enough
