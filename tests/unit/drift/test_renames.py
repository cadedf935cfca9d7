"""Renames: what names and values say, and how often they are right on a labelled set."""

from __future__ import annotations

import pyarrow as pa
import pytest

from eventpulse.drift.accepted_schema import Rename
from eventpulse.drift.renames import compare_names, find_renames, split_words
from eventpulse.drift.sketches import ColumnSketch
from eventpulse.rows.sketching import sketch_column
from tests.unit.drift.rename_pairs import PAIRS, Pair, make_pairs

MARKERS = ("", "NA")


def sketch(cells: list[str], *, masked: bool = False) -> ColumnSketch:
    return sketch_column(pa.array(cells, pa.string()), MARKERS, masked=masked)


def propose(pair: Pair) -> list[Rename]:
    missing = {name: [name] for name in pair.before if name not in pair.after}
    unknown = [name for name in pair.after if name not in pair.before]
    accepted = {name: sketch(pair.before[name]) for name in missing}
    found = {name: sketch(pair.after[name]) for name in unknown}
    return find_renames(missing, unknown, accepted, found)


def test_renames_are_found_and_others_are_left_alone() -> None:
    true = proposed = right = 0
    wrong: list[str] = []
    pairs = list(make_pairs())
    assert len(pairs) == PAIRS >= 60
    for pair in pairs:
        found = {each.column: each.header for each in propose(pair)}
        true += len(pair.renames)
        proposed += len(found)
        right += len(found.items() & pair.renames.items())
        wrong += [
            f"{pair.dataset}: {c} is not {h}" for c, h in found.items() - pair.renames.items()
        ]
    assert true >= 100
    precision, recall = right / proposed, right / true
    assert precision >= 0.95, (precision, wrong)
    assert recall >= 0.8, recall


def test_the_set_is_the_same_for_the_same_seed() -> None:
    one, other = next(make_pairs(3)), next(make_pairs(3))
    assert one == other
    assert one != next(make_pairs(4))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("depDelay", ["dep", "delay"]),
        ("DEP_DELAY", ["dep", "delay"]),
        ("Größe (cm)", ["größe", "cm"]),
        ("HTTPStatus2", ["http", "status", "2"]),
        ("", []),
    ],
)
def test_the_words_of_a_header(header: str, words: list[str]) -> None:
    assert split_words(header) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order_no", "OrderNumber"),
        ("lat", "latitude"),
        ("dep_delay", "departure delay"),
        ("wind_speed", "windspeed"),
        ("recorded_at", "recorded"),
    ],
)
def test_names_that_are_alike(one: str, other: str) -> None:
    assert compare_names(one, other) == compare_names(other, one) >= 0.65


@pytest.mark.parametrize(
    ("one", "other"),
    [("temp", "pressure"), ("lat", "lon"), ("city", "currency"), ("year", "engine"), ("a", "")],
)
def test_names_that_are_not(one: str, other: str) -> None:
    assert compare_names(one, other) < 0.6


DAYS = [f"2026-01-{day:02}" for day in range(1, 29)]
TOWNS = ["Kiel", "Bonn", "Ulm", "Jena"] * 10


def test_values_tell_what_names_do_not() -> None:
    accepted = {"town": sketch(TOWNS), "day": sketch(DAYS)}
    found = {"x1": sketch(TOWNS[3:]), "x2": sketch(DAYS[2:])}
    renames = find_renames({"town": ["town"], "day": ["day"]}, ["x1", "x2"], accepted, found)
    assert [(each.column, each.header) for each in renames] == [("town", "x1"), ("day", "x2")]
    assert renames[0].evidence["overlap"] > 0.9


def test_another_type_is_another_column() -> None:
    accepted, found = {"amount": sketch(["1", "2", "3"])}, {"Amount": sketch(["a", "b", "c"])}
    assert find_renames({"amount": ["amount"]}, ["Amount"], accepted, found) == []


def test_without_values_only_a_clear_name_counts() -> None:
    def headers(*unknown: str) -> list[str]:
        return [each.header for each in find_renames({"amount": ["amount"]}, unknown, {}, {})]

    assert headers("Amount") == ["Amount"]
    assert headers("amt") == ["amt"]
    assert headers("total") == []
    assert headers("Amount", "AMOUNT ") == [], "two that fit as well are none"


def test_two_columns_that_fit_alike_are_not_guessed() -> None:
    accepted = {"a": sketch(TOWNS)}
    found = {"x": sketch(TOWNS), "y": sketch(TOWNS)}
    assert find_renames({"a": ["a"]}, ["x", "y"], accepted, found) == []


def test_a_sketch_of_a_masked_column_holds_nothing_of_its_values() -> None:
    secret = sketch(["4711", "4712"] * 20, masked=True)
    assert (secret.hashes, secret.top, secret.quantiles) == ((), {}, ())
    assert "4711" not in secret.model_dump_json()
    assert "Kiel" not in sketch(TOWNS).model_dump_json()
