"""Refused rows are mended, in place or in a workbook, and sent again."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from openpyxl import Workbook, load_workbook

from eventpulse.api.endpoints import XLSX
from eventpulse.contracts.contract import Contract, Dialect, Field
from eventpulse.formats import open_reader
from eventpulse.pipeline.recovery import write_rows
from tests.functions.answers import get, problem
from tests.functions.harness import HEADER, Cloud, order, orders_contract, orders_file


@pytest.fixture
def refused(cloud: Cloud) -> str:
    """Records 2 and 4 are refused: an amount below 0, and a name that is too long."""
    cloud.publish(orders_contract())
    rows = [order(1), order(2, amount="-3"), order(3), order(4, customer="x" * 21)]
    return cloud.ingest("orders/a.csv", orders_file(*rows))


def recover(api: FlaskClient, ingestion_id: str, *rows: dict[str, Any]) -> Any:
    return api.post(f"/api/ingestions/{ingestion_id}/recover", json={"rows": rows})


def export(api: FlaskClient, ingestion_id: str) -> Workbook:
    answer = api.get(f"/api/ingestions/{ingestion_id}/quarantine?format=xlsx")
    assert (answer.status_code, answer.mimetype) == (200, XLSX)
    return load_workbook(io.BytesIO(answer.data))


def send(api: FlaskClient, ingestion_id: str, book: Workbook) -> Any:
    data = io.BytesIO()
    book.save(data)
    path = f"/api/ingestions/{ingestion_id}/recover"
    return api.post(path, data=data.getvalue(), content_type=XLSX)


def rows(cloud: Cloud) -> dict[Any, Any]:
    found = cloud.platform.warehouse.preview("curated", "orders", 100)
    return {row["order_id"]: (row["amount"], row["customer"]) for row in found}


# --- In place ------------------------------------------------------------------------------------


def test_a_mended_row_is_loaded_by_an_ingestion_linked_to_the_first(
    cloud: Cloud, api: FlaskClient, refused: str
) -> None:
    answer = recover(api, refused, {"record": 2, "row": {"amount": "3"}})
    cloud.run()

    assert answer.status_code == 202
    assert (answer.json["rows"], answer.json["unchanged"]) == (1, 0)
    page = get(api, f"/api/ingestions/{refused}/quarantine")
    assert page["columns"] == HEADER.split(",")
    assert page["rows"][0]["failures"][0]["headers"] == ["amount"]
    shown = get(api, f"/api/ingestions/{answer.json['ingestion']}")
    assert (shown["state"], shown["recovers"], shown["rows_accepted"]) == ("loaded", refused, 1)
    assert answer.headers["Location"] == f"/api/ingestions/{shown['id']}"
    assert rows(cloud)[2] == (3, "ann")
    assert get(api, f"/api/ingestions/{refused}")["recoveries"] == 1
    [event] = [
        each
        for each in get(api, f"/api/ingestions/{refused}/timeline")["events"]
        if each["type"] == "recovered"
    ]
    assert (event["data"]["rows"], event["cause"]["actor"]) == (1, "local")


def test_twice_changes_nothing(cloud: Cloud, api: FlaskClient, refused: str) -> None:
    first = recover(api, refused, {"record": 2, "row": {"amount": "3"}})
    cloud.run()
    again = recover(api, refused, {"record": 2, "row": {"amount": "3"}})
    cloud.run()

    assert first.json == again.json
    assert get(api, "/api/ingestions/counts")["total"] == 2
    live = cloud.platform.objects.stat("raw", first.json["object"])
    assert live is not None
    assert cloud.announce(live).status_code == 200, "the event of the object that recovers"
    cloud.run()
    assert get(api, "/api/ingestions/counts")["total"] == 2


def test_what_is_still_faulty_is_refused_again(
    cloud: Cloud, api: FlaskClient, refused: str
) -> None:
    answer = recover(
        api,
        refused,
        {"record": 2, "row": {"amount": "3"}},
        {"record": 4, "row": {"customer": "y" * 30}, "object": "orders/a.csv"},
    )
    cloud.run()

    shown = get(api, f"/api/ingestions/{answer.json['ingestion']}")
    assert (shown["rows_accepted"], shown["rows_quarantined"]) == (1, 1)


def test_a_row_that_could_not_be_split_is_mended_by_giving_its_cells(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    made = cloud.ingest("orders/a.csv", orders_file(order(1), "2,3.5"))
    cells = dict(zip(HEADER.split(","), order(2).split(","), strict=True))

    answer = recover(api, made, {"record": 2, "row": cells})
    cloud.run()

    shown = get(api, f"/api/ingestions/{answer.json['ingestion']}")
    assert (shown["state"], shown["rows_accepted"]) == ("loaded", 1), shown["detail"]
    drift = get(api, f"/api/ingestions/{shown['id']}/drift")
    assert drift["changes"] == [], "the text that could not be split is no column"


@pytest.mark.parametrize(
    ("row", "problem_said"),
    [
        ({"record": 3, "row": {"amount": "1"}}, "no refused row has the record 3"),
        ({"record": 2, "row": {"colour": "1"}}, "there is no column 'colour'"),
        ({"record": 2, "row": {"amount": "-3"}}, "nothing differs from what was refused"),
        ({"record": 2, "row": {}}, "body.rows.0.row"),
    ],
)
def test_what_recovers_nothing_is_refused_and_says_why(
    api: FlaskClient, refused: str, row: dict[str, Any], problem_said: str
) -> None:
    answer = recover(api, refused, row)
    assert answer.status_code == 422
    assert problem_said in answer.json["detail"]


def test_an_ingestion_without_refused_rows_has_nothing_to_recover(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    good = cloud.ingest("orders/a.csv", orders_file(order(1)))
    problem(recover(api, good, {"record": 1, "row": {"amount": "1"}}), 409, "nothing_refused")
    answer = api.get(f"/api/ingestions/{good}/quarantine?format=xlsx")
    problem(answer, 404, "nothing_refused")


def test_a_name_that_only_looks_like_a_recovery_recovers_nothing(
    cloud: Cloud, api: FlaskClient, refused: str
) -> None:
    name = f"recovered/orders/{refused}/0123.csv"
    forged = cloud.ingest(name, orders_file(order(9)))
    shown = get(api, f"/api/ingestions/{forged}")
    assert (shown["state"], shown["reason"]) == ("rejected", "no_contract")
    assert shown["recovers"] is None


def test_refused_rows_are_found_by_the_rule_that_they_break(api: FlaskClient, refused: str) -> None:
    def records(**wanted: str) -> list[int]:
        page = get(api, f"/api/ingestions/{refused}/quarantine", **wanted)
        return [each["record"] for each in page["rows"]]

    assert records() == [2, 4]
    assert records(column="amount") == [2]
    assert records(column="customer", rule="maxLength") == [4]
    assert records(column="customer", rule="minimum") == []


# --- In a workbook -------------------------------------------------------------------------------


def test_the_workbook_marks_each_faulty_cell_and_says_why(api: FlaskClient, refused: str) -> None:
    sheet = export(api, refused)["refused rows"]

    header = [cell.value for cell in sheet[1]]
    assert header[:3] == ["object", "generation", "record"]
    assert header[3:-1] == ["order_id", "amount", "customer", "changed_at"]
    amount, customer = sheet["E2"], sheet["F3"]
    assert (amount.value, amount.data_type) == ("-3", "s")
    assert "-3" in amount.comment.text
    assert amount.fill.fgColor.rgb == "FFF4B6B6"
    assert sheet["D2"].comment is None
    assert customer.value == "•••", "classified values are masked here too"
    assert sheet["H2"].value == amount.comment.text


def test_a_workbook_comes_back_mended(cloud: Cloud, api: FlaskClient, refused: str) -> None:
    book = export(api, refused)
    sheet = book["refused rows"]
    sheet["E2"] = 3.5  # typed as a number, as people do
    sheet["G2"] = datetime(2026, 1, 2, 3, 4)

    answer = send(api, refused, book)
    cloud.run()

    assert answer.status_code == 202, answer.text
    assert (answer.json["rows"], answer.json["unchanged"]) == (1, 1)
    shown = get(api, f"/api/ingestions/{answer.json['ingestion']}")
    assert (shown["state"], shown["rows_accepted"]) == ("loaded", 1), shown["detail"]
    assert shown["recovers"] == refused
    assert rows(cloud)[2] == (3.5, "ann")
    table = cloud.platform.warehouse.preview("curated", "orders", 9)
    assert any(str(row["changed_at"]).startswith("2026-01-02T03:04") for row in table), table


def test_values_that_were_masked_come_back_as_they_were(
    cloud: Cloud, api: FlaskClient, refused: str
) -> None:
    book = export(api, refused)
    book["refused rows"]["E2"] = "4"

    answer = send(api, refused, book)
    cloud.run()

    assert answer.status_code == 202, answer.text
    assert rows(cloud)[2] == (4, "ann")


def test_a_text_that_looks_like_a_formula_stays_a_text(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract().replace("classification: personal", "classification: public"))
    formula = '"=HYPERLINK(1)+a long tail"'
    made = cloud.ingest("orders/a.csv", orders_file(order(1, customer=formula), order(2)))

    cell = export(api, made)["refused rows"]["F2"]

    assert (cell.value, cell.data_type) == ("=HYPERLINK(1)+a long tail", "s")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda book: book.remove(book["_eventpulse"]), "it has no sheets"),
        (lambda book: book["_eventpulse"].__setitem__("A1", "other"), "of the ingestion other"),
        (lambda book: book["refused rows"].__setitem__("C2", "two"), "its row 2 does not say"),
        (lambda book: book["refused rows"].__setitem__("A1", "x"), "its first row does not name"),
    ],
    ids=["no mark", "another ingestion", "no record", "no header"],
)
def test_another_workbook_is_refused_and_says_what_is_wrong(
    api: FlaskClient, refused: str, spoil: Any, said: str
) -> None:
    book = export(api, refused)
    spoil(book)
    found = problem(send(api, refused, book), 422, "not_the_workbook")
    assert said in found["detail"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"order_id\n1\n"])
def test_what_is_no_workbook_is_refused(api: FlaskClient, refused: str, data: bytes) -> None:
    path = f"/api/ingestions/{refused}/recover"
    answer = api.post(path, data=data, content_type=XLSX)
    problem(answer, 422, "not_the_workbook")
    problem(api.post(path, data=b"x", content_type="text/csv"), 415, "unsupported_media_type")


# --- In the dataset's own dialect ----------------------------------------------------------------

SEMICOLONS = """\
      - {property: delimiter, value: ";"}
      - {property: headerRow, value: 3}
"""


@pytest.mark.parametrize("name", ["ndjson", "parquet", "xlsx", "semicolons"])
def test_rows_are_sent_again_in_the_datasets_own_dialect(
    cloud: Cloud, api: FlaskClient, refused: str, name: str
) -> None:
    format_ = "csv" if name == "semicolons" else name
    text = orders_contract("2.0.0").replace("value: csv", f"value: {format_}")
    extra = SEMICOLONS if name == "semicolons" else ""
    cloud.publish(
        text.replace("      - property: driftPolicy", f"{extra}      - property: driftPolicy")
    )

    answer = recover(api, refused, {"record": 2, "row": {"amount": "3"}})
    cloud.run()

    assert answer.json["object"].endswith(f".{format_}")
    shown = get(api, f"/api/ingestions/{answer.json['ingestion']}")
    assert (shown["state"], shown["rows_accepted"]) == ("loaded", 1), shown["detail"]
    assert rows(cloud)[2] == (3, "ann")


def test_text_with_quotes_and_escape_characters_is_sent_again_as_it_is() -> None:
    fields = (Field("a"), Field("b"))
    dialect = Dialect(format="csv", escape="\\")
    row: dict[str, str | None] = {"a": "C:\\dir\\", "b": 'say "a\\", \n'}
    data, _ = write_rows(Contract("s", "1.0.0", "", fields, dialect=dialect), ["a", "b"], [row])
    [batch] = open_reader(io.BytesIO(data), "a.csv", dialect, fields)
    assert [column.to_pylist() for column in batch.columns] == [[row["a"]], [row["b"]]]
