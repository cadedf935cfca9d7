"""The spool on a disk that is damaged, full, read-only or failing; caps, alarms and refusals."""

from __future__ import annotations

import errno
import gzip
import json
import random
from pathlib import Path

import pytest

from eventpulse_edge import batches
from eventpulse_edge.batches import Batch, hash_sha256, parse_name
from eventpulse_edge.events import Event
from eventpulse_edge.files import OsFiles
from eventpulse_edge.records import frame
from eventpulse_edge.spool import Limits, Spool
from tests.edge.accounts import Cloud, deliver
from tests.edge.conftest import ROOT, Device
from tests.edge.disk import PowerCut


def put(device: Device, spool: Spool, count: int = 1, *, alarm: bool = False) -> None:
    for _ in range(count):
        device.clock.advance(1)
        values = {"counter": spool.state().next_seq}
        spool.put(Event("reading", device.clock.mono(), values, "s", alarm))


def seal(spool: Spool) -> None:
    spool.commit()
    spool.flush()
    spool.maintain()


def files_in(device: Device, folder: str) -> dict[Path, bytes]:
    return {
        path: bytes(inode.data)
        for path, inode in device.disk.names.items()
        if inode is not None and path.is_relative_to(ROOT / folder)
    }


def receive(device: Device) -> Cloud:
    """What a fresh agent on this disk delivers."""
    spool = device.start()
    spool.open()
    spool.maintain()
    cloud = Cloud()
    deliver(spool, cloud)
    return cloud


# --- Damage --------------------------------------------------------------------------------------


def make_segment(events: int) -> tuple[Device, Path, bytes]:
    """A device whose power went with one segment open."""
    device = Device()
    spool = device.start()
    put(device, spool, events)
    spool.commit()
    ((path, content),) = files_in(device, "open").items()
    return device, path, content


def counters(cloud: Cloud) -> list[int]:
    return sorted(row["counter"] for row in cloud.readings().values())


def restore(device: Device, path: Path, content: bytes) -> None:
    """Put the disk back to what it was, but for one file's content."""
    device.disk.names = {p: i for p, i in device.disk.durable.items()}
    inode = device.disk.durable[path]
    assert inode is not None
    inode.data[:] = content
    inode.synced = len(content)


def test_every_byte_of_a_segment_flipped_costs_one_event_at_most_and_says_so() -> None:
    device, path, content = make_segment(6)
    before = dict(device.disk.durable)
    for at in range(len(content)):
        for flip in (0x01, 0xFF, content[at] ^ 0x0A):
            device.disk.durable = dict(before)
            damaged = bytearray(content)
            damaged[at] ^= flip
            restore(device, path, bytes(damaged))
            cloud = receive(device)
            (last,) = cloud.check().values()
            assert last == 6, (at, flip)
            lost = [n for n in range(1, 7) if n not in counters(cloud)]
            assert len(lost) <= 1
            assert [(a, b, r) for _, a, b, r in cloud.gaps()] == [(n, n, "corrupt") for n in lost]


def test_every_byte_torn_off_a_segment_leaves_the_events_before_it() -> None:
    device, path, content = make_segment(6)
    before = dict(device.disk.durable)
    ends = [at for at, byte in enumerate(content) if byte == 0x0A][2:]
    for size in range(len(content) + 1):
        device.disk.durable = dict(before)
        restore(device, path, content[:size])
        spool = device.start()
        spool.open()
        spool.maintain()
        cloud = Cloud()
        deliver(spool, cloud)
        whole = sum(end <= size for end in ends)
        assert counters(cloud) == list(range(1, whole + 1))
        assert cloud.gaps() == []
        starts = [0, *(at + 1 for at, byte in enumerate(content) if byte == 0x0A)]
        clean = size in starts or content[size] == 0x0A
        assert (spool.state().torn_bytes > 0) != clean, size


def test_every_byte_of_a_batch_flipped_costs_its_member_at_most_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MEMBER_BYTES", 1_000)
    device = Device()
    spool = device.start()
    put(device, spool, 12)
    seal(spool)
    ((path, content),) = files_in(device, "sealed").items()
    assert content.count(b"\x1f\x8b\x08") == 3
    before = dict(device.disk.durable)
    for at in range(len(content)):
        device.disk.durable = dict(before)
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        restore(device, path, bytes(damaged))
        cloud = receive(device)
        (last,) = cloud.check().values()
        assert last == 12
        kept = counters(cloud)
        assert len(kept) >= 12 - 5, at
        assert kept == [n for n in range(1, 13) if n not in _covered(cloud)]
        assert len(cloud.objects) == 1


def _covered(cloud: Cloud) -> set[int]:
    return {n for _, first, last, _ in cloud.gaps() for n in range(first, last + 1)}


def test_a_batch_of_which_nothing_can_be_read_becomes_a_gap() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 5)
    seal(spool)
    ((path, content),) = files_in(device, "sealed").items()
    restore(device, path, bytes(len(content)))
    cloud = receive(device)
    assert cloud.gaps() == [(spool.epoch, 1, 5, "corrupt")]
    assert cloud.check() == {spool.epoch: 5}


def test_both_headers_damaged_lose_no_event() -> None:
    device, path, content = make_segment(4)
    half = content.index(b"\n") + 1
    damaged = bytearray(content)
    damaged[30] ^= 0xFF
    damaged[half + 30] ^= 0xFF
    restore(device, path, bytes(damaged))
    cloud = receive(device)
    assert counters(cloud) == [1, 2, 3, 4]
    assert {row["device_id"] for row in cloud.rows} == {"station-0001"}
    assert {row["clock"] for row in cloud.rows} == {"estimated"}


def test_a_record_of_another_version_is_a_gap_and_ends_nothing() -> None:
    device, path, content = make_segment(3)
    lines = content.splitlines(keepends=True)
    strange = [frame(b'[2,"what",{}]'), frame(b"[]"), frame(b'{"format":2}', "note")]
    for each in strange:
        restore(device, path, b"".join([*lines[:3], each, *lines[4:]]))
        before = dict(device.disk.durable)
        cloud = receive(device)
        assert counters(cloud) == [1, 3]
        assert [gap[1:] for gap in cloud.gaps()] == [(2, 2, "corrupt")]
        device.disk.durable = before


# --- Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "disk_full"), (errno.EROFS, "read_only"), (errno.EIO, "disk_error")],
)
def test_a_disk_that_refuses_costs_only_what_memory_cannot_hold(code: int, reason: str) -> None:
    device = Device(Limits(memory_events=100))
    spool = device.start()
    put(device, spool, 10)
    spool.commit()
    device.disk.refuse = code
    for _ in range(300):
        put(device, spool)
        with pytest.raises(OSError, match="refused"):
            spool.commit()
    assert spool.fault == reason
    assert spool.state().events <= 10 + 101
    device.disk.refuse = None
    put(device, spool, 5)
    seal(spool)
    assert spool.fault is None
    cloud = Cloud()
    deliver(spool, cloud)
    assert cloud.check() == {spool.epoch: 315}
    (gap,) = cloud.gaps()
    assert gap[1] == 11
    assert gap[3] == reason
    assert counters(cloud) == [*range(1, 11), *range(gap[2] + 1, 316)]
    assert len(counters(cloud)) >= 10 + 90


def test_a_disk_that_refuses_from_the_start_is_opened_when_it_can_be() -> None:
    device = Device()
    device.disk.refuse = errno.EROFS
    spool = device.start()
    put(device, spool, 3)
    with pytest.raises(OSError, match="refused"):
        spool.commit()
    spool.maintain()
    assert spool.next_batch() is None
    device.disk.refuse = None
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    assert cloud.check() == {spool.epoch: 3}


def test_alarms_stay_in_memory_when_readings_give_way() -> None:
    device = Device(Limits(memory_events=20))
    spool = device.start()
    spool.open()
    device.disk.refuse = errno.ENOSPC
    put(device, spool, 1)
    with pytest.raises(OSError, match="refused"):
        spool.commit()
    put(device, spool, 5)
    put(device, spool, 1, alarm=True)
    put(device, spool, 60)
    device.disk.refuse = None
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    cloud.check()
    assert 7 in counters(cloud)
    assert {gap[3] for gap in cloud.gaps()} == {"disk_full"}


def test_a_half_written_group_is_written_again_whole() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 2)
    spool.commit()
    for room in range(0, 200, 7):
        device.disk.room = room
        put(device, spool, 2)
        try:
            spool.commit()
        except OSError:
            device.disk.room = None
            spool.commit()
        device.disk.room = None
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    assert counters(cloud) == list(range(1, spool.state().next_seq))
    assert cloud.gaps() == []


def test_after_a_failed_sync_the_group_goes_into_a_file_that_was_not_doubted() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 2)
    spool.commit()
    device.disk.fail_syncs = 1
    put(device, spool, 2)
    with pytest.raises(OSError, match="failed"):
        spool.commit()
    spool.commit()
    assert len(files_in(device, "open")) == 2
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    assert counters(cloud) == [1, 2, 3, 4]


def test_a_full_disk_never_costs_what_is_on_it() -> None:
    device = Device(Limits(memory_events=10))
    spool = device.start()
    for _ in range(4):
        put(device, spool, 5)
        spool.commit()
    device.disk.refuse = errno.ENOSPC
    put(device, spool, 200)
    with pytest.raises(OSError, match="refused"):
        spool.commit()
    spool.flush()
    with pytest.raises(OSError, match="refused"):
        spool.maintain()
    device.disk.refuse = None
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    assert counters(cloud)[:20] == list(range(1, 21))


def test_an_event_that_is_no_json_or_too_great_uses_no_number() -> None:
    spool = Device().start()
    for value in (float("nan"), float("inf"), "\ud800", "x" * 10_000):
        with pytest.raises(ValueError, match=r"."):
            spool.put(Event("reading", 1.0, {"value": value}, "s"))
    assert spool.state().next_seq == 1


# --- The cap -------------------------------------------------------------------------------------


def test_beyond_the_cap_the_oldest_readings_go_with_one_exact_gap() -> None:
    device = Device(Limits(cap=10 * 4096, segment_events=10))
    spool = device.start()
    for _ in range(30):
        put(device, spool, 10)
        spool.commit()
        spool.maintain()
    assert spool.state().bytes <= 10 * 4096
    cloud = Cloud()
    deliver(spool, cloud)
    assert cloud.check() == {spool.epoch: 300}
    ((epoch, first, last, reason),) = cloud.gaps()
    assert (epoch, first, reason) == (spool.epoch, 1, "cap")
    assert counters(cloud) == list(range(last + 1, 301))
    assert spool.state().dropped == last >= 200


def test_alarms_are_the_last_to_go() -> None:
    device = Device(Limits(cap=6 * 4096, segment_events=10))
    spool = device.start()
    put(device, spool, 3, alarm=True)
    for _ in range(20):
        spool.commit()
        spool.maintain()
        put(device, spool, 10)
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    cloud.check()
    assert counters(cloud)[:3] == [1, 2, 3]


def test_what_the_server_may_know_of_is_not_dropped() -> None:
    device = Device(Limits(cap=3 * 4096, segment_events=10))
    spool = device.start()
    put(device, spool, 10)
    seal(spool)
    batch = spool.next_batch()
    assert batch is not None
    for _ in range(10):
        put(device, spool, 10)
        seal(spool)
    assert spool.next_batch() == batch
    cloud = Cloud()
    deliver(spool, cloud)
    cloud.check()
    assert counters(cloud)[:10] == list(range(1, 11))


def test_without_a_clock_the_cap_holds_too() -> None:
    device = Device(Limits(cap=10 * 4096, segment_events=10))
    device.reboot(know_time=False)
    spool = device.start()
    for _ in range(30):
        put(device, spool, 10)
        spool.commit()
        spool.maintain()
    assert spool.next_batch() is None
    assert spool.state().bytes <= 10 * 4096
    device.know_time()
    seal(spool)
    cloud = Cloud()
    deliver(spool, cloud)
    assert cloud.check() == {spool.epoch: 300}
    assert {reason for *_, reason in cloud.gaps()} == {"cap"}


# --- Sending -------------------------------------------------------------------------------------


def test_an_alarm_overtakes_the_backlog() -> None:
    device = Device(Limits(segment_events=5))
    spool = device.start()
    for _ in range(4):
        put(device, spool, 5)
        spool.commit()
        spool.maintain()
    begun = spool.next_batch()
    put(device, spool, 2)
    put(device, spool, 1, alarm=True)
    spool.commit()
    spool.maintain()
    cloud = Cloud()
    deliver(spool, cloud)
    assert [batch.alarm for batch in cloud.order] == [True, False, False, False, False]
    assert cloud.order[1] == begun
    cloud.check()


def test_a_batch_keeps_its_bytes_and_name_until_it_is_receipted() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 5)
    seal(spool)
    batch = spool.next_batch()
    assert batch is not None
    content = spool.read(batch)
    for _ in range(3):
        device.reboot(off=3600)
        spool = device.start()
        spool.open()
        put(device, spool, 5)
        seal(spool)
        assert spool.next_batch() == batch
        assert spool.read(batch) == content
    assert parse_name(batch.name) == batch


def test_a_refused_batch_is_halved_until_the_bad_event_stands_alone() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 33)
    seal(spool)
    cloud = Cloud()
    refusals = 0
    while (batch := spool.next_batch()) is not None:
        content = spool.read(batch)
        assert content is not None
        rows = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        if any(row.get("counter") == 21 for row in rows):
            refusals += 1
            spool.split(batch, content, "counter 21 is unlucky")
        else:
            cloud.receive(batch, content)
            spool.remove(batch, len(content))
    assert cloud.check() == {spool.epoch: 33}
    assert cloud.gaps() == [(spool.epoch, 21, 21, "isolated")]
    assert refusals <= 7
    (kept,) = files_in(device, "isolated").values()
    assert b'"counter":21' in gzip.decompress(kept)
    assert spool.state().isolated == 1


def test_a_gap_that_is_refused_ends_there() -> None:
    device = Device(Limits(cap=4096, segment_events=5))
    spool = device.start()
    put(device, spool, 5)
    seal(spool)
    put(device, spool, 5)
    seal(spool)
    while (batch := spool.next_batch()) is not None:
        content = spool.read(batch)
        assert content is not None
        spool.split(batch, content, "no")
    assert spool.state().batches == 0


def test_a_batch_whose_numbers_another_device_used_gets_an_epoch_of_its_own() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 5)
    seal(spool)
    batch = spool.next_batch()
    assert batch is not None
    content = spool.read(batch)
    assert content is not None
    spool.renumber(batch, content)
    renumbered = spool.next_batch()
    assert renumbered is not None
    assert renumbered.epoch != batch.epoch
    assert (renumbered.first, renumbered.last, renumbered.predecessor) == (1, 5, None)
    cloud = Cloud()
    deliver(spool, cloud)
    assert counters(cloud) == [1, 2, 3, 4, 5]
    device.reboot()
    put(device, again := device.start(), 1)
    seal(again)
    deliver(again, cloud)
    assert cloud.predecessors[again.epoch] == (spool.epoch, 5)


@pytest.mark.parametrize("cut", range(1, 12))
def test_power_may_go_while_a_batch_is_halved_renumbered_or_isolated(cut: int) -> None:
    for action in ("split", "renumber", "isolate"):
        device = Device()
        spool = device.start()
        put(device, spool, 1 if action == "isolate" else 4)
        seal(spool)
        batch = spool.next_batch()
        assert batch is not None
        content = spool.read(batch)
        assert content is not None
        device.disk.changes_left = cut
        try:
            if action == "renumber":
                spool.renumber(batch, content)
            else:
                spool.split(batch, content, "no")
        except PowerCut:
            device.disk.cut_power(random.Random(cut))
            device.reboot()
            spool = device.start()
            spool.open()
        device.disk.changes_left = None
        cloud = Cloud()
        while (again := spool.next_batch()) is not None:
            sent = spool.read(again)
            assert sent is not None
            if again == batch and action == "renumber":  # the server refuses it still
                spool.renumber(again, sent)
                continue
            cloud.receive(again, sent)
            spool.remove(again, len(sent))
        if action == "isolate" and files_in(device, "isolated") and cloud.gaps():
            assert counters(cloud) == []
        else:
            assert counters(cloud) == list(range(1, batch.last + 1))


def test_the_name_of_a_batch_says_what_is_in_it() -> None:
    device = Device()
    spool = device.start()
    put(device, spool, 3)
    seal(spool)
    batch = spool.next_batch()
    assert isinstance(batch, Batch)
    content = spool.read(batch)
    assert content is not None
    assert hash_sha256(content) == batch.sha256
    assert (batch.first, batch.last, batch.rows, batch.alarm) == (1, 3, 3, False)


def test_what_is_set_aside_for_a_segment_is_given_back(tmp_path: Path) -> None:
    files = OsFiles()
    path = tmp_path / "segment"
    file = files.create(path, reserve=True)
    for _ in range(3):
        file.write(b"x" * 40_000)
        file.sync()
        assert path.read_bytes().rstrip(b"\0") == b"x" * len(path.read_bytes().rstrip(b"\0"))
    assert path.stat().st_size > 120_000
    file.close()
    assert path.read_bytes() == b"x" * 120_000
