"""The Firestore emulator, as google-cloud-firestore sees it."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import And, FieldFilter, Or
from google.cloud.firestore_v1.base_query import BaseCompositeFilter as Composite

from emulators.stack import GoogleStack

pytestmark = pytest.mark.google

VALUES = {
    "null": None,
    "boolean": True,
    "integer": -(2**63),
    "double": 0.1,
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC),
    "string": "é\n",
    "bytes": b"\x00\xff",
    "place": firestore.GeoPoint(1.5, -2.5),
    "array": [1, "a", None, {"k": [1]}],
    "map": {"a.b": {"`": 1}},
}


@pytest.fixture
def collection(database: firestore.Client, run: str) -> firestore.CollectionReference:
    return database.collection(f"emulated/{run}/documents")


def test_every_type_comes_back_as_it_went_in(collection: firestore.CollectionReference) -> None:
    document = collection.document("all")
    document.set({**VALUES, "reference": document})

    read = document.get().to_dict()

    assert read.pop("reference").path == document.path
    assert read == VALUES


def test_of_32_concurrent_creates_exactly_one_wins(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    def create(number: int) -> bool:
        try:
            collection.document("one").create({"number": number})
        except exceptions.AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        won = list(pool.map(create, range(32)))

    assert won.count(True) == 1
    assert collection.document("one").get().to_dict() == {"number": won.index(True)}


def test_of_32_concurrent_updates_at_one_update_time_exactly_one_wins(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    document = collection.document("one")
    document.set({"number": -1})
    seen = database.write_option(last_update_time=document.get().update_time)

    def update(number: int) -> bool:
        try:
            document.update({"number": number}, option=seen)
        except exceptions.FailedPrecondition:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(update, range(32))).count(True) == 1


def test_a_commit_is_all_or_nothing(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    collection.document("there").set({"n": 1})
    batch = database.batch()
    batch.set(collection.document("new"), {"n": 1})
    batch.create(collection.document("there"), {"n": 2})

    with pytest.raises(exceptions.AlreadyExists):
        batch.commit()

    assert not collection.document("new").get().exists
    assert collection.document("there").get().to_dict() == {"n": 1}


def test_update_and_delete_of_a_missing_document_are_not_found(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    with pytest.raises(exceptions.NotFound):
        collection.document("missing").update({"n": 1})
    with pytest.raises(exceptions.NotFound):
        collection.document("missing").delete(option=database.write_option(exists=True))
    collection.document("missing").delete()


def test_update_times_strictly_increase_and_create_time_stays(
    collection: firestore.CollectionReference,
) -> None:
    document = collection.document("one")
    times = [document.set({"n": number}).update_time for number in range(20)]

    read = document.get()

    assert times == sorted(set(times))
    assert (read.create_time, read.update_time) == (times[0], times[-1])
    assert all(time.nanosecond % 1000 == 0 for time in times)


def test_a_write_that_changes_nothing_keeps_the_update_time(
    collection: firestore.CollectionReference,
) -> None:
    document = collection.document("one")
    first = document.set({"n": 1}).update_time

    assert document.set({"n": 1}).update_time == first
    assert document.set({"n": 2}).update_time > first


def test_a_mask_changes_the_named_fields_only(collection: firestore.CollectionReference) -> None:
    document = collection.document("one")
    document.set({"a": {"b": 1, "c": 2}, "x": 1, "n": 1})

    document.update(
        {
            "a.b": 9,
            "x": firestore.DELETE_FIELD,
            "n": firestore.Increment(2),
            "at": firestore.SERVER_TIMESTAMP,
        }
    )

    read = document.get().to_dict()
    assert isinstance(read.pop("at"), datetime.datetime)
    assert read == {"a": {"b": 9, "c": 2}, "n": 3}


def test_a_document_above_one_mebibyte_is_refused(
    collection: firestore.CollectionReference,
) -> None:
    collection.document("fits").set({"x": "x" * (1_048_576 - 200)})

    with pytest.raises(exceptions.InvalidArgument, match="1,048,576 bytes"):
        collection.document("too-large").set({"x": "x" * 1_048_576})


def test_get_all_answers_found_and_missing(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    collection.document("a").set({"n": 1, "m": 2})
    names = [collection.document("a"), collection.document("b")]

    read = {snapshot.id: snapshot.to_dict() for snapshot in database.get_all(names, ["n"])}

    assert read == {"a": {"n": 1}, "b": None}


# -- queries -------------------------------------------------------------------------------


@pytest.fixture
def numbered(database: firestore.Client, run: str) -> firestore.Query:
    """Documents 0 to 9 of collection ``emulated``: ``at`` 0 0 1 1 …, ``state`` a b a b …."""
    emulated = database.collection("emulated")
    batch = database.batch()
    for n in range(10):
        document = {"run": run, "n": n, "at": n // 2, "state": "ab"[n % 2], "tags": [f"t{n % 3}"]}
        batch.set(emulated.document(f"{run}-{n}"), document)
    batch.commit()
    return emulated.where(filter=FieldFilter("run", "==", run))


def list_numbers(query: firestore.Query) -> list[int]:
    return [snapshot.get("n") for snapshot in query.stream()]


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("n", "==", 3, [3]),
        ("n", "==", 3.0, [3]),
        ("state", "==", "a", [0, 2, 4, 6, 8]),
        ("state", "in", ["b", "c"], [1, 3, 5, 7, 9]),
        ("tags", "array_contains", "t2", [2, 5, 8]),
        ("tags", "array_contains_any", ["t0", "t2"], [0, 2, 3, 5, 6, 8, 9]),
    ],
)
def test_filters_on_equality(
    numbered: firestore.Query, field: str, operator: str, value: object, expected: list[int]
) -> None:
    assert list_numbers(numbered.where(filter=FieldFilter(field, operator, value))) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("<", 1, [0, 1]),
        ("<=", 1, [0, 1, 2, 3]),
        (">", 3, [8, 9]),
        (">=", 3, [6, 7, 8, 9]),
        ("!=", 2, [0, 1, 2, 3, 6, 7, 8, 9]),
        ("not-in", [0, 1, 2], [6, 7, 8, 9]),
        (">", "a string", []),
    ],
)
def test_filters_on_inequality(
    database: firestore.Client, run: str, operator: str, value: object, expected: list[int]
) -> None:
    plain = database.collection(f"emulated/{run}/plain")
    for n in range(10):
        plain.document(str(n)).set({"n": n, "at": n // 2})

    assert list_numbers(plain.where(filter=FieldFilter("at", operator, value))) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            Or([FieldFilter("n", "==", 1), FieldFilter("tags", "array_contains", "t2")]),
            [1, 2, 5, 8],
        ),
        (And([FieldFilter("state", "==", "a"), FieldFilter("at", "==", 2)]), [4]),
    ],
)
def test_composite_filters(
    numbered: firestore.Query, condition: Composite, expected: list[int]
) -> None:
    assert list_numbers(numbered.where(filter=condition)) == expected


def test_orders_by_several_fields_in_both_directions(numbered: firestore.Query) -> None:
    ordered = numbered.order_by("at").order_by("n", direction=firestore.Query.DESCENDING)

    assert list_numbers(ordered) == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]


@pytest.mark.parametrize("size", [1, 3, 10])
def test_cursors_page_through_everything_once(numbered: firestore.Query, size: int) -> None:
    ordered = numbered.order_by("at").order_by("n", direction=firestore.Query.DESCENDING)
    found: list[int] = []
    page = list(ordered.limit(size).stream())
    while page:
        found += [snapshot.get("n") for snapshot in page]
        page = list(ordered.start_after(page[-1]).limit(size).stream())

    assert found == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]


def test_cursors_include_and_exclude_their_own_place(numbered: firestore.Query) -> None:
    ordered = numbered.order_by("at").order_by("n", direction=firestore.Query.DESCENDING)

    assert list_numbers(ordered.start_at({"at": 3}).end_at({"at": 3})) == [7, 6]
    assert list_numbers(ordered.start_after({"at": 3})) == [9, 8]
    assert list_numbers(ordered.end_before({"at": 1, "n": 2})) == [1, 0, 3]
    assert list_numbers(ordered.offset(3).limit(2)) == [2, 5]


def test_order_by_name_with_a_cursor(
    database: firestore.Client, collection: firestore.CollectionReference
) -> None:
    for name in ("a", "b", "b-", "b0", "c"):
        collection.document(name).set({"n": 0})
    ordered = collection.order_by("__name__").start_after({"__name__": collection.document("b")})

    assert [snapshot.id for snapshot in ordered.stream()] == ["b-", "b0", "c"]


def test_values_of_all_types_have_one_order(collection: firestore.CollectionReference) -> None:
    ordered = [
        None,
        False,
        True,
        float("nan"),
        -1,
        0.5,
        1,
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "",
        "a",
        b"",
        collection.document("a"),
        firestore.GeoPoint(0, 0),
        [],
        [1],
        {},
        {"a": 1},
    ]
    for place, value in enumerate(ordered):
        collection.document(f"{len(ordered) - place:02}").set({"value": value, "place": place})

    found = [snapshot.get("place") for snapshot in collection.order_by("value").stream()]

    assert found == list(range(len(ordered)))


def test_a_query_answers_the_selected_fields(numbered: firestore.Query) -> None:
    (first, *_) = numbered.select(["n", "missing"]).stream()

    assert first.to_dict() == {"n": 0}


def test_counts(numbered: firestore.Query) -> None:
    counted = numbered.where(filter=FieldFilter("state", "==", "a")).count().get()

    assert counted[0][0].value == 5


def test_a_collection_group_is_read_below_its_parent(database: firestore.Client, run: str) -> None:
    parts = "emulated_parts"
    for place in (f"emulated/{run}-1/{parts}/p", f"emulated/{run}-2/deep/d/{parts}/q"):
        database.document(place).set({"run": run})
    group = database.collection_group(parts).where(filter=FieldFilter("run", "==", run))

    assert sorted(snapshot.id for snapshot in group.stream()) == ["p", "q"]


def test_lists_documents_and_collections_also_missing_ones(
    collection: firestore.CollectionReference,
) -> None:
    collection.document("there").set({})
    collection.document("missing").collection("sub").document("x").set({})

    assert {document.id for document in collection.list_documents(page_size=1)} == {
        "there",
        "missing",
    }
    assert [found.id for found in collection.document("missing").collections()] == ["sub"]


# -- indexes -------------------------------------------------------------------------------


def test_declared_indexes_serve_their_queries(numbered: firestore.Query) -> None:
    latest = numbered.where(filter=FieldFilter("state", "==", "b")).order_by(
        "at", direction=firestore.Query.DESCENDING
    )

    assert list_numbers(latest.limit(2)) == [9, 7]


def test_a_query_without_its_index_is_refused_with_the_missing_entry(
    numbered: firestore.Query,
) -> None:
    with pytest.raises(exceptions.FailedPrecondition, match="requires an index") as refused:
        list_numbers(numbered.order_by("n"))

    assert '"collectionGroup": "emulated"' in str(refused.value)
    assert '{"fieldPath": "n", "order": "ASCENDING"}' in str(refused.value)


def test_an_index_is_never_read_backwards(numbered: firestore.Query) -> None:
    backwards = numbered.where(filter=FieldFilter("state", "==", "b")).order_by("at")

    with pytest.raises(exceptions.FailedPrecondition, match="requires an index"):
        list_numbers(backwards)


def test_a_collection_group_has_no_index_of_its_own_accord(
    database: firestore.Client, run: str
) -> None:
    group = database.collection_group("emulated_others")

    assert list(group.stream()) == []
    with pytest.raises(exceptions.FailedPrecondition, match="COLLECTION_GROUP"):
        list(group.where(filter=FieldFilter("run", "==", run)).stream())


# -- what it does not do -------------------------------------------------------------------


def test_transactions_are_unimplemented(database: firestore.Client) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        database.transaction()._begin()


def test_documents_survive_a_sigkill(tmp_path: Path) -> None:
    with (
        GoogleStack(tmp_path, services=["firestore"]) as stack,
        pytest.MonkeyPatch.context() as env,
    ):
        for kill in (True, False):
            env.setenv("FIRESTORE_EMULATOR_HOST", stack.environment["FIRESTORE_EMULATOR_HOST"])
            client = firestore.Client(project="emulated", credentials=AnonymousCredentials())
            if kill:
                written = client.document("c/d").set({"n": 1}).update_time
                stack.stop_service("firestore", kill=True)
                stack.start_service("firestore")

        assert client.document("c/d").get().update_time == written
        assert client.document("c/d").set({"n": 2}).update_time > written
