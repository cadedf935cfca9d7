"""What makes a file a duplicate: content, paths, and the ids that follow from them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventpulse.ingestions.ingestion import (
    HOLDING_STATES,
    MAX_LANDINGS,
    MAX_WAITING,
    ContentHolder,
    Ingestion,
    Landing,
    ObjectHistory,
    content_key,
    is_duplicate,
    object_key,
    project_content,
    project_object,
)
from eventpulse.ports import Json, NewEvent
from eventpulse.values import derive_id, format_time

NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)


def created(generation: int) -> str:
    """Of these objects, the one with the greater generation was created later."""
    return format_time(NOW + timedelta(seconds=generation))


def ingestion_in(state: str, generation: int = 1, **changed: Any) -> Ingestion:
    source: dict[str, Any] = {
        "bucket": "b",
        "name": "n",
        "generation": generation,
        "size": 1,
        "created": created(generation),
    }
    values = {"id": f"i{generation}", "state": state, "objects": [source], **changed}
    return Ingestion.model_validate(values)


def history_of(*landed: int, duplicated: tuple[int, ...] = ()) -> ObjectHistory:
    def landings(generations: tuple[int, ...]) -> tuple[Landing, ...]:
        return tuple(Landing.model_validate(landing(each)) for each in generations)

    return ObjectHistory(landings=landings(landed), duplicates=landings(duplicated))


def landing(generation: int) -> dict[str, Json]:
    return {
        "created": created(generation),
        "generation": generation,
        "ingestion": f"i{generation}",
    }


@pytest.mark.parametrize("state", sorted(HOLDING_STATES))
def test_the_same_content_adds_nothing_while_the_first_stands_for_it(state: str) -> None:
    assert is_duplicate(ingestion_in(state), history_of(1))


@pytest.mark.parametrize("state", ["rejected", "failed", "retracted", "duplicate"])
def test_the_same_content_counts_when_the_first_ended_otherwise(state: str) -> None:
    assert not is_duplicate(ingestion_in(state), history_of(1))


@pytest.mark.parametrize(
    ("why", "holder", "history", "duplicate"),
    [
        ("nobody had it", None, history_of(), False),
        ("A, then A under another name", ingestion_in("loaded"), history_of(), True),
        ("A, A: nothing else landed", ingestion_in("loaded", 1), history_of(1), True),
        ("A, B, A: B landed later", ingestion_in("loaded", 1), history_of(1, 2), False),
        ("A late, after B: B is older", ingestion_in("loaded", 3), history_of(2, 3), True),
        ("A, B, A, A: the second A holds", ingestion_in("loaded", 3), history_of(1, 2, 3), True),
        (
            "A, A, A: copies are no landings",
            ingestion_in("loaded", 1),
            history_of(1, duplicated=(2,)),
            True,
        ),
    ],
)
def test_what_is_a_duplicate(
    why: str, holder: Ingestion | None, history: ObjectHistory, duplicate: bool
) -> None:
    assert is_duplicate(holder, history) is duplicate, why


def test_what_a_replay_replaced_stands_for_nothing() -> None:
    assert not is_duplicate(ingestion_in("loaded", replaced_by="r"), history_of(1))


def test_later_is_what_was_created_later_and_then_what_has_the_greater_generation() -> None:
    """Generations under different names say nothing about time."""
    early = Landing(created=created(1), generation=900, ingestion="a")
    late = Landing(created=created(2), generation=5, ingestion="b")
    twin = Landing(created=created(2), generation=6, ingestion="c")
    assert late.is_after(early)
    assert not early.is_after(late)
    assert twin.is_after(late)
    assert not late.is_after(late)


def test_a_b_a_under_one_name_ends_as_a() -> None:
    """The path's history as the events build it, and the decision at each arrival."""
    history: dict[str, Json] = {}

    def arrive(generation: int, holder: Ingestion | None) -> bool:
        nonlocal history
        again = is_duplicate(holder, ObjectHistory.model_validate(history))
        event = NewEvent("duplicated" if again else "landed", landing(generation))
        history = project_object(history, "object/k", event, format_time(NOW))
        return again

    first = ingestion_in("loaded", 1)
    assert not arrive(1, None)
    assert arrive(2, first), "A again, before B"
    assert not arrive(3, None), "B"
    assert not arrive(4, first), "A after B counts"
    assert arrive(5, ingestion_in("loaded", 4)), "and stands for itself"
    found = ObjectHistory.model_validate(history)
    assert [each.generation for each in found.landings] == [1, 3, 4]
    assert [each.generation for each in found.duplicates] == [2, 5]
    third = Landing.model_validate(landing(3))
    assert [each.generation for each in found.duplicates_after(third)] == [5]


def test_a_copy_that_resumes_moves_from_one_list_to_the_other() -> None:
    history: dict[str, Json] = {}
    for type_, generation in (("landed", 1), ("duplicated", 2), ("landed", 2), ("landed", 2)):
        event = NewEvent(type_, landing(generation))
        history = project_object(history, "object/k", event, format_time(NOW))
    found = ObjectHistory.model_validate(history)
    assert [each.generation for each in found.landings] == [1, 2]
    assert found.duplicates == ()


def test_a_copy_that_counts_under_a_name_of_its_own_leaves_the_history() -> None:
    history: dict[str, Json] = {}
    for type_, generation in (("landed", 1), ("duplicated", 2), ("duplicated", 3), ("resumed", 2)):
        event = NewEvent(type_, landing(generation))
        history = project_object(history, "object/k", event, format_time(NOW))
    assert ObjectHistory.model_validate(history) == history_of(1, duplicated=(3,))


def test_a_history_is_bounded() -> None:
    history: dict[str, Json] = {}
    for generation in range(1, MAX_LANDINGS + 6):
        event = NewEvent("landed", landing(generation))
        history = project_object(history, "object/k", event, format_time(NOW))
    found = ObjectHistory.model_validate(history)
    generations = [each.generation for each in found.landings]
    assert generations == list(range(6, MAX_LANDINGS + 6))


def test_who_stands_for_a_content_and_who_waits() -> None:
    content: dict[str, Json] = {}

    def after(type_: str, ingestion: str) -> ContentHolder:
        nonlocal content
        event = NewEvent(type_, {"ingestion": ingestion})
        content = project_content(content, "content/k", event, format_time(NOW))
        return ContentHolder.model_validate(content)

    assert after("held", "a") == ContentHolder(holder="a")
    assert after("waiting", "b") == ContentHolder(holder="a", waiting=("b",))
    assert after("waiting", "c") == ContentHolder(holder="a", waiting=("b", "c"))
    assert after("waiting", "b") == ContentHolder(holder="a", waiting=("c", "b"))
    assert after("held", "c") == ContentHolder(holder="c", waiting=("b",))
    assert after("released", "c") == ContentHolder(holder=None, waiting=("b",))


def test_the_copies_that_wait_are_bounded() -> None:
    content: dict[str, Json] = {}
    for number in range(MAX_WAITING + 5):
        event = NewEvent("waiting", {"ingestion": f"i{number}"})
        content = project_content(content, "content/k", event, format_time(NOW))
    waiting = ContentHolder.model_validate(content).waiting
    assert waiting == tuple(f"i{number}" for number in range(MAX_WAITING)), "the first ones stay"


# --- Identity ------------------------------------------------------------------------------------


def test_ids_are_uuids_of_their_parts_and_of_nothing_else() -> None:
    one = derive_id("object", "acme-raw", "a.csv", 7)
    assert one == derive_id("object", "acme-raw", "a.csv", 7)
    assert one == derive_id("object", "acme-raw", "a.csv", "7")
    assert uuid.UUID(one).version == 5
    assert one == "e3378375-e433-5b40-90ed-4e94ad4983bb"


def test_parts_that_differ_give_ids_that_differ() -> None:
    parts: list[tuple[object, ...]] = [
        ("object", "b", "a.csv", 7),
        ("object", "b", "a.csv", 8),
        ("object", "b", "a.cs", "v7"),
        ("object", "ba", ".csv", 7),
        ("replay", "b", "a.csv", 7),
        ("object", "b", "a.csv", 7, ""),
    ]
    assert len({derive_id(*each) for each in parts}) == len(parts)


def test_content_is_the_same_for_one_dataset_and_contract_version_only() -> None:
    hashes = ["a" * 64, "b" * 64]
    keys = [
        content_key("flights", "1.0.0", hashes),
        content_key("flights", "1.0.1", hashes),
        content_key("planes", "1.0.0", hashes),
        content_key("flights", "1.0.0", hashes[:1]),
        content_key("flights", "1.0.0", hashes[::-1]),
        content_key(None, None, hashes),
    ]
    assert len(set(keys)) == len(keys)
    source: dict[str, Any] = {"bucket": "b", "name": "n", "generation": 1, "size": 1, "created": ""}
    ingestion = Ingestion.model_validate(
        {
            "id": "i",
            "dataset": "flights",
            "contract_version": "1.0.0",
            "objects": [{**source, "sha256": each} for each in hashes],
        }
    )
    assert ingestion.content_key == keys[0]
    assert object_key("a", "b/c") != object_key("a\nb", "c")
    assert all("/" not in key for key in keys), "they are ids of streams"
