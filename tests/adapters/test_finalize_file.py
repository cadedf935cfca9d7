"""Finalizes of the directory are announced: all of them, none that is not, until they are taken."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from eventpulse.adapters.finalize_file import FinalizeDelivery
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.ports import StoredObject
from tests.adapters.event_receiver import EventReceiver, Received

pytest_plugins = ["tests.adapters.objects_fixtures"]


def put(store: FileObjectStore, name: str, *, replace: bool = False) -> StoredObject:
    with store.write(
        "raw", name, content_type="text/csv", metadata={"k": "v"}, replace=replace
    ) as sink:
        sink.write(b"a,b\n")
    return sink.stored


def deliver(store: FileObjectStore, receiver: EventReceiver, **options: float) -> FinalizeDelivery:
    return FinalizeDelivery(
        store.layout.root,
        receiver.url,
        {"authorization": "Bearer token"},
        first_delay=options.get("first_delay", 0.01),
        longest_delay=0.05,
        concurrency=int(options.get("concurrency", 4)),
    )


def wait_until_delivered(delivery: FinalizeDelivery) -> None:
    waiting = threading.Event()
    for _ in range(6_000):
        if not delivery.pending():
            return
        waiting.wait(0.005)
    pytest.fail(f"{delivery.pending()} events are still there")


def test_a_finalize_is_the_event_that_eventarc_sends(file_store: FileObjectStore) -> None:
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        stored = put(file_store, "flights/é 100%.csv")
        wait_until_delivered(delivery)
    (event,) = receiver.received
    assert event.headers["ce-specversion"] == "1.0"
    assert event.headers["ce-type"] == "google.cloud.storage.object.v1.finalized"
    assert event.headers["ce-source"] == "//storage.googleapis.com/projects/_/buckets/raw"
    assert event.headers["ce-subject"] == "objects/flights/%C3%A9%20100%25.csv"
    assert datetime.fromisoformat(event.headers["ce-time"]) == stored.created
    assert event.headers["content-type"] == "application/json"
    assert event.headers["authorization"] == "Bearer token"
    assert event.headers["ce-id"]
    data = dict(event.data)
    assert datetime.fromisoformat(data.pop("timeCreated")) == stored.created
    assert datetime.fromisoformat(data.pop("updated")) == stored.created
    assert data == {
        "kind": "storage#object",
        "id": f"raw/flights/é 100%.csv/{stored.ref.generation}",
        "bucket": "raw",
        "name": "flights/é 100%.csv",
        "generation": str(stored.ref.generation),
        "metageneration": "1",
        "contentType": "text/csv",
        "storageClass": "STANDARD",
        "size": "4",
        "md5Hash": stored.md5,
        "metadata": {"k": "v"},
    }


def test_what_was_written_before_the_delivery_began_is_announced(
    file_store: FileObjectStore,
) -> None:
    stored = [put(file_store, "a", replace=True) for _ in range(3)]
    assert file_store.delete(stored[-1].ref)
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        wait_until_delivered(delivery)
    generations = {int(event.data["generation"]) for event in receiver.received}
    assert generations == {one.ref.generation for one in stored}


def test_only_raw_is_announced(file_store: FileObjectStore) -> None:
    with file_store.write("staged", "a"), file_store.write("reports", "a"):
        pass
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        put(file_store, "b")
        wait_until_delivered(delivery)
    assert receiver.names() == ["b"]


def test_what_was_not_taken_is_sent_again_under_the_same_id(file_store: FileObjectStore) -> None:
    statuses = iter([500, 429, 404, 302])
    with (
        EventReceiver(lambda _: next(statuses, 200)) as receiver,
        deliver(file_store, receiver) as delivery,
    ):
        put(file_store, "a")
        wait_until_delivered(delivery)
    assert receiver.names() == ["a"] * 5
    assert len({event.headers["ce-id"] for event in receiver.received}) == 1


def test_events_of_two_generations_have_two_ids(file_store: FileObjectStore) -> None:
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        put(file_store, "a")
        put(file_store, "a", replace=True)
        wait_until_delivered(delivery)
    assert len({event.headers["ce-id"] for event in receiver.received}) == 2


def test_one_that_fails_does_not_delay_the_others(file_store: FileObjectStore) -> None:
    healed = threading.Event()

    def answer(event: Received) -> int:
        return 503 if str(event.data["name"]).startswith("bad") and not healed.is_set() else 200

    with (
        EventReceiver(answer) as receiver,
        deliver(file_store, receiver, concurrency=2) as delivery,
    ):
        for number in range(5):
            put(file_store, f"bad/{number}")
        for number in range(20):
            put(file_store, f"good/{number}")
        good = {f"good/{number}" for number in range(20)}
        assert receiver.wait_until(lambda: good <= {str(e.data["name"]) for e in receiver.received})
        assert delivery.pending() >= 5
        healed.set()
        wait_until_delivered(delivery)


def test_requests_under_way_are_bounded(file_store: FileObjectStore) -> None:
    lock, under_way, most = threading.Lock(), 0, 0
    gate = threading.Barrier(3)

    def answer(_: Received) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        gate.wait(30)  # three at a time come, and no fourth before these have gone
        with lock:
            under_way -= 1
        return 200

    with (
        EventReceiver(answer) as receiver,
        deliver(file_store, receiver, concurrency=3) as delivery,
    ):
        for number in range(12):
            put(file_store, str(number))
        wait_until_delivered(delivery)
    assert most == 3


def test_a_receiver_that_is_not_there_is_awaited(
    file_store: FileObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with EventReceiver() as away:
        pass  # its port is closed from here on
    waiting = threading.Event()
    with deliver(file_store, away):
        put(file_store, "a")
        while len(caplog.records) < 3:
            assert not waiting.wait(0.005)
    assert "was not taken, try again in" in caplog.text
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        wait_until_delivered(delivery)
    assert receiver.names() == ["a"]


def test_stopping_cuts_what_hangs_and_keeps_it(file_store: FileObjectStore) -> None:
    hanging = threading.Event()

    def hang(_: Received) -> int:
        hanging.wait(60)
        return 200

    with EventReceiver(hang) as receiver:
        delivery = deliver(file_store, receiver)
        delivery.start()
        put(file_store, "a")
        assert receiver.wait_until(lambda: bool(receiver.received))
        delivery.stop(grace=0.0)
        assert delivery.pending() == 1
        hanging.set()
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        wait_until_delivered(delivery)
    assert receiver.names() == ["a"]


def test_a_delivery_can_be_started_again(file_store: FileObjectStore) -> None:
    with EventReceiver() as receiver:
        delivery = deliver(file_store, receiver)
        for name in "ab":
            delivery.start()
            put(file_store, name)
            wait_until_delivered(delivery)
            delivery.stop()
    assert receiver.names() == ["a", "b"]


def test_a_delivery_that_is_killed_before_the_answer_is_made_again(
    file_store: FileObjectStore,
) -> None:
    put(file_store, "a")
    answered = threading.Event()

    def answer(_: Received) -> int:
        answered.wait(30)
        return 200

    command = [sys.executable, "-m", "tests.adapters.delivering_process", file_store.layout.root]
    with EventReceiver(answer) as receiver:
        process = subprocess.Popen(
            [*command, receiver.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            assert receiver.wait_until(lambda: len(receiver.received) == 1)
            process.kill()
        answered.set()
        with deliver(file_store, receiver) as delivery:
            wait_until_delivered(delivery)
    assert receiver.names() == ["a", "a"]
    assert len({event.headers["ce-id"] for event in receiver.received}) == 1


def test_an_entry_that_cannot_be_read_stops_nobody(file_store: FileObjectStore) -> None:
    with EventReceiver() as receiver, deliver(file_store, receiver) as delivery:
        put(file_store, "a")
        wait_until_delivered(delivery)
        broken = Path(file_store.layout.outbox, "broken.json")
        broken.write_text("{")
        for number in range(10):
            put(file_store, f"b/{number}")
        assert receiver.wait_until(lambda: len(receiver.received) == 11)
        broken.unlink()
        wait_until_delivered(delivery)
