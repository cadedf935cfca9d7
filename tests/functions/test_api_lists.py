"""Lists of ingestions: whatever is asked for, left out and sorted by, they are what plain Python
finds; counts and failure groups go by the same filters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from eventpulse.api import listing
from eventpulse.ingestions.ingestion import Reason, Sort, State, project_ingestion
from eventpulse.ports import Append, Json, NewEvent
from eventpulse.values import derive_id, format_time
from tests.functions.answers import get, problem
from tests.functions.harness import Cloud
from tests.properties import examples

NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
DATASETS = ("orders", "weather", None)
OBJECTS = ("a.csv", "b.csv", "c.csv")
Answer = dict[str, Any]


def counted(rows: int, refused: int) -> dict[str, Json]:
    good = {"rows_accepted": rows - refused, "rows_duplicate": 0}
    return {"rows_read": rows, "rows_quarantined": refused, **good}


def loaded(rows: int, refused: int = 0) -> list[NewEvent]:
    ended = NewEvent("loaded", {"rows_current": rows - refused, "rows_superseded": 0})
    return [NewEvent("validated", counted(rows, refused)), NewEvent("accepted", {}), ended]


def rejected(reason: str, rows: Mapping[str, Json]) -> list[NewEvent]:
    return [NewEvent("rejected", {"reason": reason, "detail": f"of {reason}", **rows})]


WAYS: list[list[NewEvent]] = [
    [],
    loaded(12, 2),
    loaded(9),
    [NewEvent("validated", counted(100, 2))],
    rejected("drift", {}),
    loaded(100, 10),
    rejected("quality", counted(9, 9)),
    [NewEvent("duplicate", {"duplicate_of": "gone", "detail": "the same"})],
    rejected("no_contract", {}),
    [NewEvent("failed", {"failed_step": "load", "detail": "no answer"})],
    loaded(12, 2),
    rejected("drift", counted(5, 0)),
    [*loaded(7), NewEvent("retracted")],
]
"""What came of the ingestions, one after the other."""


def record(cloud: Cloud, number: int, events: list[NewEvent]) -> None:
    """Write an ingestion's stream: it came `number` minutes after NOW and took some seconds."""
    source: dict[str, Json] = {
        "bucket": "raw",
        "name": OBJECTS[number % len(OBJECTS)],
        "generation": number + 1,
        "size": 1,
        "created": format_time(NOW),
    }
    came = NewEvent("received", {"objects": [source], "dataset": DATASETS[number // 3 % 3]})
    log, stream = cloud.platform.log, f"ingestion/{derive_id(number)}"
    received = NOW + timedelta(minutes=number)
    for at, made in (
        (received, [came]),
        (received + timedelta(seconds=1 + number * 7 % 5), events),
    ):
        head = log.head(stream)
        projection = dict(head.projection)
        for event in made:
            projection = project_ingestion(projection, stream, event, format_time(at))
        if made:
            assert log.commit([Append(head, made, projection)], at=at) is None


@pytest.fixture
def filled(cloud: Cloud) -> Cloud:
    for number in range(2 * len(WAYS)):
        record(cloud, number, WAYS[number % len(WAYS)])
    return cloud


def walk(api: FlaskClient, asked: Mapping[str, Any], limit: int) -> list[Answer]:
    """All ingestions of a list, page by page."""
    found: list[Answer] = []
    sent = {"limit": limit, **asked}
    while True:
        page = get(api, "/api/ingestions", **sent)
        assert len(page["ingestions"]) <= limit
        found += page["ingestions"]
        if page["next_cursor"] is None:
            return found
        sent["cursor"] = page["next_cursor"]


def is_asked_for(each: Answer, asked: Mapping[str, Any]) -> bool:
    def fits(name: str) -> bool:
        wanted = asked.get(name) in (None, each[name])
        return wanted and each[name] not in asked.get(f"not_{name}", ())

    since, until = asked.get("since", ""), asked.get("until", "9")
    text = asked.get("search", "").casefold()
    return (
        all(map(fits, ("state", "reason", "dataset", "object")))
        and since <= each["received_at"] < until
        and text in f"{each['detail']} {each['object']}".casefold()
    )


def place(each: Answer, sort: str) -> tuple[Any, ...]:
    """Where an ingestion stands when the least comes first: what was never measured before all,
    and so duplicates, whose rows are those of another."""
    field = sort.removeprefix("-")
    copied = field.startswith("rows") and each["state"] == "duplicate"
    value = None if copied else each[field]
    return value is not None, value or 0, each["received_at"]


MOMENTS = st.integers(0, 26).map(lambda minutes: format_time(NOW + timedelta(minutes=minutes)))
DATASET = st.sampled_from(["orders", "weather", "none"])
SHARED = {
    "dataset": DATASET,
    "not_dataset": st.lists(DATASET, min_size=1, max_size=3),
    "not_reason": st.lists(st.sampled_from(get_args(Reason)), min_size=1, max_size=3),
    "since": MOMENTS,
    "until": MOMENTS,
}
"""What lists, counts and failure groups are filtered by."""
LISTED = {
    **SHARED,
    "state": st.sampled_from(get_args(State)),
    "not_state": st.lists(st.sampled_from(get_args(State)), min_size=1, max_size=3),
    "reason": st.sampled_from(get_args(Reason)),
    "object": st.sampled_from(OBJECTS),
    "not_object": st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=2),
    "search": st.sampled_from(["OF DR", "b.", "answer"]),
    "sort": st.sampled_from(get_args(Sort)),
}


@examples(60, HealthCheck.function_scoped_fixture)
@given(asked=st.fixed_dictionaries({}, optional=LISTED), limit=st.integers(1, 30))
def test_lists_are_what_plain_python_finds(
    filled: Cloud, api: FlaskClient, asked: dict[str, Any], limit: int
) -> None:
    sort = asked.get("sort", "-received_at")
    everything = get(api, "/api/ingestions", limit=200)["ingestions"]
    expected = [each for each in everything if is_asked_for(each, asked)]
    expected.sort(key=lambda each: place(each, sort), reverse=sort.startswith("-"))

    assert [e["id"] for e in walk(api, asked, limit)] == [e["id"] for e in expected]


@pytest.mark.parametrize("sort", get_args(Sort))
def test_a_list_is_sorted_by_each_figure(filled: Cloud, api: FlaskClient, sort: Sort) -> None:
    found = walk(api, {"sort": sort}, 4)

    places = [place(each, sort) for each in found]
    assert places == sorted(places, reverse=sort.startswith("-"))
    assert len(found) == 2 * len(WAYS)
    assert len({value for _, value, _ in places}) >= 4


@examples(20, HealthCheck.function_scoped_fixture)
@given(asked=st.fixed_dictionaries({}, optional=SHARED))
def test_counts_and_failure_groups_go_by_the_same_filters(
    filled: Cloud, api: FlaskClient, asked: dict[str, Any]
) -> None:
    everything = get(api, "/api/ingestions", limit=200)["ingestions"]
    expected = [each for each in everything if is_asked_for(each, asked)]
    states = {state: sum(e["state"] == state for e in expected) for state in get_args(State)}

    counts = get(api, "/api/ingestions/counts", **asked)
    assert counts == {"total": len(expected), "states": states}
    asked.setdefault("since", "2026-01-01")
    groups = get(api, "/api/ingestions/failures", **asked)["groups"]
    assert sum(group["count"] for group in groups) == states["rejected"] + states["failed"]
    assert not any(group["reason"] in asked.get("not_reason", ()) for group in groups)


def test_pages_of_what_is_left_go_on_where_looking_stopped(
    filled: Cloud, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 3)
    asked = {"sort": "received_at", "not_dataset": "orders", "limit": 1}

    first = get(api, "/api/ingestions", **asked)

    assert first["ingestions"] == []
    assert first["next_cursor"] is not None
    [found] = get(api, "/api/ingestions", **asked, cursor=first["next_cursor"])["ingestions"]
    assert found["id"] == derive_id(3)


def test_a_page_of_which_nothing_is_passed_over_is_one_query(
    filled: Cloud, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States that are left out are asked for as the rest: no row is read in vain."""
    asked: list[int] = []
    query = filled.platform.log.query

    def count(*args: Any, limit: int, **rest: Any) -> Any:
        asked.append(limit)
        return query(*args, limit=limit, **rest)

    monkeypatch.setattr(filled.platform.log, "query", count)
    page = get(api, "/api/ingestions", not_state=["loaded", "duplicate"], sort="-seconds", limit=5)

    assert len(page["ingestions"]) == 5
    assert asked == [5]


def test_a_filter_of_many_values_is_checked_one_by_one(api: FlaskClient) -> None:
    answer = api.get("/api/ingestions?not_state=loaded&not_state=lost")
    [found] = problem(answer, 422, "invalid_request")["problems"]
    assert found.startswith("query.not_state.1: ")
    many = "&".join(f"not_dataset={number}" for number in range(8))
    problem(api.get(f"/api/ingestions/counts?{many}"), 422, "invalid_request")
    problem(api.get("/api/ingestions?id_prefix=a&not_state=loaded"), 422, "invalid_request")


def test_another_order_of_the_same_ingestions_has_another_etag(
    filled: Cloud, api: FlaskClient
) -> None:
    path = "/api/ingestions?not_state=received&sort="
    headers = {"If-None-Match": api.get(f"{path}-rows_read").headers["ETag"]}

    assert api.get(f"{path}-rows_read", headers=headers).status_code == 304
    assert api.get(f"{path}rows_read", headers=headers).status_code == 200
