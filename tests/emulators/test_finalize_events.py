"""Finalize events: one CloudEvent for each finished write, until it is taken."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from emulators.stack import GoogleStack
from tests.adapters.event_receiver import EventReceiver, Received
from tests.waiting import wait_until

pytestmark = pytest.mark.google


def test_each_way_of_writing_makes_one_event(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    with EventReceiver() as receiver:
        google_stack.set_triggers(bucket.name, {"land": receiver.url})
        bucket.blob("multipart").upload_from_string("x")
        resumable = bucket.blob("resumable", chunk_size=256 * 1024)
        resumable.upload_from_file(io.BytesIO(os.urandom(300 * 1024)))
        bucket.blob("composed").compose([bucket.blob("multipart")])
        bucket.blob("rewritten").rewrite(bucket.blob("multipart"))
        bucket.copy_blob(bucket.blob("multipart"), bucket, "copied")
        bucket.get_blob("copied").patch()
        bucket.blob("copied").delete()

        assert receiver.wait_until(lambda: len(receiver.received) >= 5)
        wait_until(lambda: google_stack.count_pending_events() == 0, "events are still owed")
        names = sorted(receiver.names())

    assert names == ["composed", "copied", "multipart", "resumable", "rewritten"]


def test_the_event_is_the_one_that_eventarc_sends(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    with EventReceiver() as receiver:
        google_stack.set_triggers(bucket.name, {"land": receiver.url})
        blob = bucket.blob("é/x y.csv")
        blob.metadata = {"k": "v"}
        blob.upload_from_string("a,b\n", content_type="text/csv")
        assert receiver.wait_until(lambda: bool(receiver.received))
    (event,) = receiver.received
    stored = bucket.get_blob("é/x y.csv")

    assert event.headers["ce-type"] == "google.cloud.storage.object.v1.finalized"
    assert event.headers["ce-specversion"] == "1.0"
    source = f"//storage.googleapis.com/projects/_/buckets/{bucket.name}"
    assert event.headers["ce-source"] == source
    assert event.headers["ce-subject"] == "objects/%C3%A9/x%20y.csv"
    assert event.data["timeCreated"] == event.headers["ce-time"]
    expected = {
        "kind": "storage#object",
        "bucket": bucket.name,
        "name": "é/x y.csv",
        "generation": str(stored.generation),
        "metageneration": "1",
        "size": "4",
        "contentType": "text/csv",
        "md5Hash": stored.md5_hash,
        "crc32c": stored.crc32c,
        "metadata": {"k": "v"},
    }
    assert {key: event.data[key] for key in expected} == expected


def test_events_carry_their_trigger_s_headers(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    with EventReceiver() as receiver:
        token = {"Authorization": "Bearer token", "ce-type": "forged"}
        google_stack.set_triggers(bucket.name, {"land": receiver.url}, token)
        bucket.blob("x").upload_from_string("x")
        assert receiver.wait_until(lambda: bool(receiver.received))
    (event,) = receiver.received

    assert event.headers["authorization"] == "Bearer token"
    assert event.headers["ce-type"] == "google.cloud.storage.object.v1.finalized"


def test_an_event_is_delivered_again_until_it_is_taken(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    answers = [503, 500, 429]

    def refuse_thrice(_: Received) -> int:
        return answers.pop() if answers else 204

    with EventReceiver(refuse_thrice) as receiver:
        google_stack.set_triggers(bucket.name, {"land": receiver.url})
        bucket.blob("x").upload_from_string("x")
        assert receiver.wait_until(lambda: len(receiver.received) == 4)
        wait_until(lambda: google_stack.count_pending_events() == 0, "the event is still owed")

    assert len({event.headers["ce-id"] for event in receiver.received}) == 1


def test_every_trigger_of_a_bucket_gets_the_event(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    with EventReceiver() as land, EventReceiver() as audit:
        google_stack.set_triggers(bucket.name, {"land": land.url, "audit": audit.url})
        bucket.blob("x").upload_from_string("x")

        assert land.wait_until(lambda: land.names() == ["x"])
        assert audit.wait_until(lambda: audit.names() == ["x"])


def test_a_restart_delivers_what_is_owed_to_the_trigger_s_new_address(tmp_path: Path) -> None:
    with GoogleStack(tmp_path, services=["storage"]) as stack, pytest.MonkeyPatch.context() as env:
        env.setenv("STORAGE_EMULATOR_HOST", stack.environment["STORAGE_EMULATOR_HOST"])
        client = storage.Client(project="emulated", credentials=AnonymousCredentials())
        bucket = client.create_bucket("restarted")
        with EventReceiver(lambda _: 503) as refusing:
            stack.set_triggers("restarted", {"land": refusing.url})
            for number in range(3):
                bucket.blob(str(number)).upload_from_string("x")
            assert refusing.wait_until(lambda: set(refusing.names()) == {"0", "1", "2"})
        stack.stop_service("storage", kill=True)
        stack.start_service("storage")

        assert stack.count_pending_events() == 3
        with EventReceiver() as taking:
            stack.set_triggers("restarted", {"land": taking.url})
            assert taking.wait_until(lambda: set(taking.names()) == {"0", "1", "2"})
            wait_until(lambda: stack.count_pending_events() == 0, "events are still owed")
