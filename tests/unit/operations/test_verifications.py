"""How a table's ingestions are cut into slices, and what of it is not as it should be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventpulse.operations.verifications import (
    SLICE_BYTES,
    Difference,
    Loaded,
    cut_slices,
    find_differences,
)
from tests.properties import examples

LOADED = st.lists(
    st.builds(
        Loaded,
        finished_at=st.just("2026-01-01"),
        id=st.uuids().map(str),
        contract_version=st.sampled_from(["1.0.0", "2.0.0"]),
        schema_version=st.integers(0, 1),
        size=st.integers(0, 2 * SLICE_BYTES),
    ),
    max_size=12,
)


@given(LOADED, st.integers(1, 4))
@examples(100)
def test_slices_are_whole_in_order_and_small(loaded: list[Loaded], most: int) -> None:
    slices = cut_slices(loaded, most)
    known = {each.id: each for each in loaded}
    assert [id_ for each in slices for id_ in each.ingestions] == [each.id for each in loaded]
    for each in slices:
        members = [known[id_] for id_ in each.ingestions]
        assert 1 <= len(members) <= most
        assert {member.layout for member in members} == {
            (each.contract_version, each.schema_version)
        }
        assert len(members) == 1 or sum(member.size for member in members) <= SLICE_BYTES


def test_an_ingestion_differs_by_the_number_of_its_rows_or_by_what_is_in_them() -> None:
    table = {"same": (2, 7), "changed": (2, 8), "strange": (1, 3)}
    rebuilt = {"same": (2, 7), "changed": (2, 9), "missing": (4, 5)}
    assert find_differences(table, rebuilt) == [
        Difference(ingestion="changed", rows=2, rebuilt_rows=2),
        Difference(ingestion="missing", rows=0, rebuilt_rows=4),
        Difference(ingestion="strange", rows=1, rebuilt_rows=0),
    ]
