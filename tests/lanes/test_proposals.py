"""Proposals through the real steps: verdicts make them, operators accept or reject them, and what
waited for them is replayed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emulators.samples import SAMPLES, read_sample
from emulators.samples.generate import generate_edge_telemetry, generate_parcels
from eventpulse.drift.proposals import Proposal, query_proposals
from eventpulse.errors import ContractInvalid, RequestRefused
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.odcs import lint_contract
from eventpulse.pipeline.proposals import (
    accept_proposal,
    count_waiting,
    read_draft,
    reject_proposal,
    suggest_contract,
)
from eventpulse.pipeline.registry import contract_entry, load_contract, publish_contract
from eventpulse.pipeline.streams import Changes
from tests.inline import InlineLane, inline_lane
from tests.lanes.test_drift_policies import ADDED, BEFORE, HEADER, goods_contract


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        yield lane


def proposals(lane: InlineLane) -> list[Proposal]:
    heads = lane.platform.log.query(query_proposals(), limit=100).heads
    return [Proposal.model_validate(head.projection) for head in heads]


def drop(lane: InlineLane, name: str, text: str) -> Ingestion:
    return lane.drop(name, text.encode())


# --- Drafts --------------------------------------------------------------------------------------

FILES = {
    **{name: read_sample(name) for name in SAMPLES},
    "parcels": b"".join(generate_parcels(300, seed=3)),
    "edge_telemetry": b"".join(generate_edge_telemetry(500, seed=3)),
}


@pytest.mark.parametrize("name", FILES)
def test_an_accepted_draft_loads_every_row_of_the_file_it_came_from(
    lane: InlineLane, name: str
) -> None:
    first = lane.drop(f"{name}/first.csv", FILES[name])
    assert (first.state, first.reason) == ("rejected", "no_contract")
    assert first.detail is not None
    assert f"Proposal {first.proposal} drafts one" in first.detail
    [proposal] = proposals(lane)
    assert (proposal.id, proposal.kind, proposal.state) == (first.proposal, "draft", "open")
    assert proposal.waiting == (first.id,)
    assert lint_contract(read_draft(lane.platform, proposal)) == []
    accepted = accept_proposal(lane.platform, proposal.id)
    assert accepted.version == "1.0.0"
    lane.run()
    replay = lane.ingestion(accepted.replays[first.id])
    assert (replay.state, replay.dataset) == ("loaded", name), replay.detail
    assert replay.rows_accepted == replay.rows_read == replay.rows_current
    assert lane.ingestion(first.id).replaced_by == replay.id
    assert "status: active" in accepted.text


@pytest.mark.parametrize("extension", ["xlsx", "ndjson", "parquet"])
def test_drafts_of_other_formats_load_their_files_too(lane: InlineLane, extension: str) -> None:
    days = [date(2024, 1, 31), date(2024, 2, 29)]
    table = pa.table({"Order No": [1, 2], "day": days, "price": [1.5, 2.0], "ok": [True, False]})
    out = io.BytesIO()
    if extension == "xlsx":
        book = openpyxl.Workbook()
        assert book.active is not None
        for row in (table.column_names, *zip(*table.to_pydict().values(), strict=True)):
            book.active.append(list(row))
        book.save(out)
    elif extension == "parquet":
        pq.write_table(table, out)
    else:
        lines = (json.dumps(row, default=str) + "\n" for row in table.to_pylist())
        out.write("".join(lines).encode())
    first = lane.drop(f"orders/a.{extension}", out.getvalue())
    assert first.proposal is not None, first.detail
    accepted = accept_proposal(lane.platform, first.proposal)
    lane.run()
    assert lane.ingestion(accepted.replays[first.id]).state == "loaded"
    found = lane.platform.warehouse.preview("curated", "orders", 10)
    shown = sorted([str(row[name]) for name in ("order_no", "day", "price", "ok")] for row in found)
    assert shown == [["1", "2024-01-31", "1.5", "True"], ["2", "2024-02-29", "2.0", "False"]]


def test_files_of_one_kind_wait_for_one_draft(lane: InlineLane) -> None:
    first = drop(lane, "shops/a.csv", "id,town\n1,Kiel\n2,Bonn\n")
    second = drop(lane, "shops/b.csv", "id,town\n3,Ulm\n4,Jena\n5,Gera\n")
    other = drop(lane, "shops/c.csv", "id,town,street\n3,Ulm,Hafen\n4,Jena,Ring\n")
    assert first.proposal == second.proposal != other.proposal
    assert first.proposal is not None
    accepted = accept_proposal(lane.platform, first.proposal)
    lane.run()
    assert set(accepted.replays) == {first.id, second.id}
    found = lane.platform.warehouse.preview("curated", "shops", 10)
    assert sorted(str(each["town"]) for each in found) == ["Bonn", "Gera", "Jena", "Kiel", "Ulm"]
    assert other.proposal is not None
    with pytest.raises(RequestRefused, match=r"shops has a contract by now \(1.0.0\)"):
        accept_proposal(lane.platform, other.proposal)


def test_however_many_wait_all_are_replayed_by_accepting_until_none_is_left(
    lane: InlineLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventpulse.drift.proposals.MOST_WAITING", 2)
    monkeypatch.setattr("eventpulse.pipeline.proposals.MOST_REPLAYS", 3)
    dropped = [drop(lane, f"shops/{n}.csv", f"id,town\n{n},Kiel\n{n}9,Bonn\n") for n in range(1, 9)]
    [proposal] = proposals(lane)
    assert len(proposal.waiting) == 2
    assert count_waiting(lane.platform, proposal.id) == 8
    begun: dict[str, str] = {}
    for remaining in (5, 2, 0, 0):
        accepted = accept_proposal(lane.platform, proposal.id)
        assert accepted.remaining == remaining
        begun |= accepted.replays
        lane.run()
    assert begun.keys() == {each.id for each in dropped}
    assert {lane.ingestion(each).state for each in begun.values()} == {"loaded"}
    assert count_waiting(lane.platform, proposal.id) == 0


def test_a_draft_can_be_accepted_as_an_operator_has_edited_it(lane: InlineLane) -> None:
    waiting = drop(lane, "shops/a.csv", "id,opened\n1,01/02/2024\n2,03/04/2024\n")
    assert waiting.proposal is not None
    draft = read_draft(lane.platform, Changes(lane.platform).proposal(waiting.proposal))
    assert "%d/%m/%Y or %m/%d/%Y" in draft
    renamed = draft.replace("name: shops", "name: stores")
    with pytest.raises(ContractInvalid, match="keep its name"):
        accept_proposal(lane.platform, waiting.proposal, renamed)
    dated = draft.replace(
        "name: opened\n    logicalType: string",
        "name: opened\n    logicalType: date\n    customProperties:\n"
        "    - property: dateFormats\n      value: ['%d/%m/%Y']",
    )
    assert dated != draft
    accept_proposal(lane.platform, waiting.proposal, dated)
    lane.run()
    found = lane.platform.warehouse.preview("curated", "shops", 10)
    assert sorted(str(each["opened"]) for each in found) == ["2024-02-01", "2024-04-03"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("strange/a.csv", b"\x00\x01\x02\x03" * 50, "No contract could be drafted"),
        ("strange/a.csv", b"", "the file is empty"),
        ("strange/a.bin", b"id\n1\n", "the extension .bin"),
    ],
)
def test_what_cannot_be_read_is_not_drafted(
    lane: InlineLane, name: str, content: bytes, why: str
) -> None:
    rejected = lane.drop(name, content)
    assert (rejected.state, rejected.reason, rejected.proposal) == ("rejected", "no_contract", None)
    assert rejected.detail is not None
    assert why in rejected.detail
    assert proposals(lane) == []


# --- Drift ---------------------------------------------------------------------------------------


def open_goods(lane: InlineLane, **modes: str) -> None:
    publish_contract(lane.platform, goods_contract(**modes), "goods")  # type: ignore[arg-type]
    drop(lane, "goods/before.csv", BEFORE)


def test_an_accepted_patch_is_a_new_version_and_replays_what_was_rejected(
    lane: InlineLane,
) -> None:
    open_goods(lane, added="freeze")
    one = drop(lane, "goods/1.csv", ADDED)
    two = drop(lane, "goods/2.csv", ADDED.replace("\n3,", "\n5,").replace("\n4,", "\n6,"))
    assert one.state == two.state == "rejected"
    [proposal] = proposals(lane)
    assert one.proposal == two.proposal == proposal.id
    assert (proposal.base, proposal.seen, proposal.waiting) == ("1.0.0", 2, (one.id, two.id))
    assert proposal.summary == "add the column net_price (string, header 'Net price')"
    suggested = suggest_contract(lane.platform, proposal)
    assert "+      - name: net_price\n+        physicalName: Net price" in suggested.diff
    accepted = accept_proposal(lane.platform, proposal.id)
    assert (accepted.version, accepted.text) == ("1.1.0", suggested.text)
    lane.run()
    assert {lane.ingestion(each).state for each in accepted.replays.values()} == {"loaded"}
    found = lane.platform.warehouse.preview("curated", "goods", 10)
    assert {each["id"]: each["net_price"] for each in found} == {
        1: None,
        2: None,
        3: "9.50",
        4: None,
        5: "9.50",
        6: None,
    }


def test_a_rename_is_proposed_with_its_evidence_and_kept_in_the_contract(
    lane: InlineLane,
) -> None:
    publish_contract(lane.platform, goods_contract(renamed="freeze"), "goods")
    towns = ["Kiel", "Bonn", "Ulm", "Jena"]
    rows = "".join(f"{n},{n},2026-01-01,{towns[n % 4]},l\n" for n in range(40))
    assert drop(lane, "goods/before.csv", f"{HEADER}\n{rows}").state == "loaded"
    later = "".join(f"{n},{n},2026-02-01,{towns[n % 4]},l\n" for n in range(40, 80))
    header = HEADER.replace("note", "Bemerkung")
    rejected = drop(lane, "goods/after.csv", f"{header}\n{later}")
    assert (rejected.state, rejected.reason) == ("rejected", "drift")
    assert rejected.detail is not None
    assert "'Bemerkung' seems to be 'note' under a new name" in rejected.detail
    [proposal] = proposals(lane)
    assert (proposal.kind, proposal.summary) == (
        "rename",
        "read note from the header 'Bemerkung' too",
    )
    [change] = proposal.evidence
    assert change["evidence"]["overlap"] == 1.0  # type: ignore[index,call-overload]
    assert "Kiel" not in str(proposal.model_dump())
    accepted = accept_proposal(lane.platform, proposal.id)
    assert accepted.version == "1.1.0"
    lane.run()
    assert lane.ingestion(accepted.replays[rejected.id]).state == "loaded"
    found = lane.platform.warehouse.preview("curated", "goods", 100)
    assert {each["note"] for each in found} == set(towns)
    assert drop(lane, "goods/again.csv", f"{HEADER}\n99,9,2026-03-01,Kiel,l\n").state == "loaded"


def test_accepting_and_rejecting_again_changes_nothing(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    proposal = drop(lane, "goods/1.csv", ADDED).proposal
    assert proposal is not None
    first = accept_proposal(lane.platform, proposal)
    assert accept_proposal(lane.platform, proposal) == first
    lane.run()
    assert accept_proposal(lane.platform, proposal).replays == first.replays
    assert load_contract(lane.platform, "goods", None).version == "1.1.0"
    with pytest.raises(RequestRefused) as refused:
        reject_proposal(lane.platform, proposal)
    assert (refused.value.status, refused.value.code) == (409, "proposal_decided")


def test_a_rejected_proposal_stays_rejected(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    proposal = drop(lane, "goods/1.csv", ADDED).proposal
    assert proposal is not None
    closed = reject_proposal(lane.platform, proposal)
    assert closed.state == "rejected"
    assert reject_proposal(lane.platform, proposal) == closed
    with pytest.raises(RequestRefused) as refused:
        accept_proposal(lane.platform, proposal)
    assert refused.value.code == "proposal_decided"
    again = drop(lane, "goods/2.csv", ADDED.replace("\n3,", "\n7,"))
    assert again.proposal == proposal
    assert [each.state for each in proposals(lane)] == ["rejected"]
    with pytest.raises(RequestRefused) as unknown:
        reject_proposal(lane.platform, "nothing")
    assert unknown.value.status == 404


def test_a_patch_goes_onto_the_contract_that_there_is_now(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    proposal = drop(lane, "goods/1.csv", ADDED).proposal
    assert proposal is not None
    edited = goods_contract(version="1.0.1", added="freeze").replace(
        "logicalType: date", "logicalType: date\n        description: Day of the sale."
    )
    publish_contract(lane.platform, edited, "goods")
    accepted = accept_proposal(lane.platform, proposal)
    assert accepted.version == "1.1.0"
    assert "Day of the sale." in accepted.text


def test_a_patch_that_the_contract_has_by_now_is_accepted_as_it_is(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    rejected = drop(lane, "goods/1.csv", ADDED)
    edited = goods_contract(version="1.1.0", added="freeze") + (
        "      - name: price\n        physicalName: Net price\n        logicalType: number\n"
    )
    publish_contract(lane.platform, edited, "goods")
    assert rejected.proposal is not None
    accepted = accept_proposal(lane.platform, rejected.proposal)
    assert (accepted.version, accepted.text) == ("1.1.0", edited)
    lane.run()
    assert lane.ingestion(accepted.replays[rejected.id]).state == "loaded"


def test_a_patch_that_no_longer_fits_says_so(lane: InlineLane) -> None:
    open_goods(lane, retyped="freeze")
    words = f"{HEADER}\n3,many,2026-02-01,n,l\n"
    proposal = drop(lane, "goods/1.csv", words).proposal
    assert proposal is not None
    without = goods_contract(version="2.0.0", retyped="freeze").replace(
        "      - name: amount\n        logicalType: integer\n", ""
    )
    publish_contract(lane.platform, without, "goods")
    with pytest.raises(RequestRefused) as refused:
        accept_proposal(lane.platform, proposal)
    assert (refused.value.status, refused.value.code) == (409, "proposal_outdated")
    assert "has no property 'amount'" in refused.value.message


def test_an_accepted_type_widens_the_table(lane: InlineLane) -> None:
    open_goods(lane, retyped="freeze")
    rejected = drop(lane, "goods/1.csv", f"{HEADER}\n3,1.5,2026-02-01,n,l\n")
    assert rejected.proposal is not None
    accepted = accept_proposal(lane.platform, rejected.proposal)
    assert accepted.version == "2.0.0"
    lane.run()
    found = lane.platform.warehouse.preview("curated", "goods", 10)
    assert sorted(float(str(each["amount"])) for each in found) == [1.5, 10.0, 20.0]


# --- The repository ------------------------------------------------------------------------------


def test_the_repository_does_not_undo_what_it_has_not_seen(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    proposal = drop(lane, "goods/1.csv", ADDED).proposal
    assert proposal is not None
    accepted = accept_proposal(lane.platform, proposal)
    old = goods_contract(added="freeze")
    changed = goods_contract(version="1.2.0", invalid=80, added="freeze")
    for text in (old, changed):
        with pytest.raises(RequestRefused) as refused:
            publish_contract(lane.platform, text, "goods")
        assert (refused.value.status, refused.value.code) == (409, "contract_unseen")
        assert "+++ b/contracts/goods.odcs.yaml" in refused.value.message
        assert "+      - name: net_price" in refused.value.message
    assert contract_entry(lane.platform, "goods", None)["version"] == "1.1.0"
    assert not publish_contract(lane.platform, accepted.text, "goods").changed
    beside = accepted.text.replace("value: 70", "value: 80").replace("1.1.0", "1.2.0")
    assert publish_contract(lane.platform, beside, "goods").changed


def test_a_text_that_has_the_patch_already_may_go_on(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    proposal = drop(lane, "goods/1.csv", ADDED).proposal
    assert proposal is not None
    accepted = accept_proposal(lane.platform, proposal)
    beside = accepted.text.replace("value: 70", "value: 80").replace("1.1.0", "1.2.0")
    assert publish_contract(lane.platform, beside, "goods").changed


@pytest.mark.parametrize(
    ("version", "change", "problem"),
    [
        ("1.0.1", ("logicalType: date", "logicalType: string"), "raise it to 2.0.0 or higher"),
        ("1.0.1", ("value: 70", "value: 80"), "raise it to 1.1.0 or higher"),
        ("0.9.0", ("value: 70", "value: 80"), "raise it to 1.1.0 or higher"),
        ("2.0.0", ("logicalType: date", "logicalType: integer"), "cannot become integer"),
        ("2.0.0", ("primaryKey: true\n        primaryKeyPosition: 1", "unique: true"), "keyed by"),
    ],
)
def test_a_version_that_its_table_or_its_number_cannot_follow_is_refused(
    lane: InlineLane, version: str, change: tuple[str, str], problem: str
) -> None:
    open_goods(lane)
    text = goods_contract(version=version)
    assert change[0] in text
    with pytest.raises(ContractInvalid, match=problem):
        publish_contract(lane.platform, text.replace(*change), "goods")
    assert load_contract(lane.platform, "goods", None).version == "1.0.0"
