"""Batches on their way in: a claim and a signed URL, and the receipt for what is there.

A commit writes nothing: the stored object is the truth, the receipt follows from it, and so a
commit again answers the same. `land` and `sweep` note what landed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from eventpulse.errors import RateLimited, RequestRefused
from eventpulse.fleet.alerts import Finding
from eventpulse.fleet.batches import (
    MOST_BYTES,
    MOST_EVENTS,
    Batch,
    BatchName,
    Epoch,
    Predecessor,
    epoch_stream,
    query_claimed_since,
)
from eventpulse.pipeline.fleet.state import apply_findings
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent, SignedRequest, StoredObject
from eventpulse.values import format_time

URL_LIFETIME = timedelta(minutes=10)
RATE_PERIOD = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A batch that a device wants to send. `bytes` are those of the gzip file."""

    name: BatchName
    count: int
    bytes: int
    md5: str
    alarm: bool
    predecessor: Predecessor | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a device may remove from its disk."""

    object: str
    sha256: str
    bytes: int
    committed_at: str


def claim_batch(platform: Platform, wanted: Wanted) -> SignedRequest | Receipt:
    """Where to put a batch, or the receipt when it is there.

    Raises RequestRefused (409 `batch_conflict`, 413 `batch_too_large`), RateLimited.
    """
    _check_size(wanted)
    expires = platform.clock() + URL_LIFETIME
    epochs = [wanted.name.epoch, *([wanted.predecessor.epoch] if wanted.predecessor else [])]
    while True:
        changes = Changes(platform)
        changes.fetch(
            wanted.name.stream, *(epoch_stream(wanted.name.device, each) for each in epochs)
        )
        known = changes.projection(wanted.name.stream)
        if known:
            receipt = _find_receipt(platform, Batch.model_validate(known), wanted)
            if receipt is not None:
                return receipt
        else:
            _check_rate(platform, wanted.name.device)
        _decide_claim(changes, wanted, format_time(expires))
        _note_epoch(changes, wanted)
        if changes.commit():
            break
    return platform.objects.sign_upload(
        wanted.name.object_name,
        length=wanted.bytes,
        md5=wanted.md5,
        content_type=wanted.content_type,
        expires=expires,
        metadata={"sha256": wanted.name.sha256},
    )


def _check_size(wanted: Wanted) -> None:
    beyond = []
    if wanted.count > MOST_EVENTS:
        beyond.append(f"{wanted.count:,} events, and {MOST_EVENTS:,} are the most")
    if wanted.bytes > MOST_BYTES:
        beyond.append(f"{wanted.bytes:,} bytes, and {MOST_BYTES:,} are the most")
    if beyond:
        raise RequestRefused(
            413,
            "batch_too_large",
            "The batch is too large",
            f"It holds {' and '.join(beyond)}. Send it in halves.",
        )


def _check_rate(platform: Platform, device: str) -> None:
    """Count what the device claimed within a minute, in the log, so that it holds across instances.

    Requests at one moment do not see each other's claims: the limit is passed by as many as are in
    flight, and never for longer than a minute.
    """
    most = platform.settings.device_rate // 2  # a batch is two requests: claim and commit
    since = format_time(platform.clock() - RATE_PERIOD)
    if platform.log.count(query_claimed_since(device, since)) >= most:
        raise RateLimited(
            f"The device claimed {most} batches within a minute. Wait, and send larger batches.",
            retry_after=RATE_PERIOD.total_seconds() / 4,
        )


def _find_receipt(platform: Platform, batch: Batch, wanted: Wanted) -> Receipt | None:
    """The receipt of a batch that was claimed before, if its bytes are there."""
    if batch.name != wanted.name or batch.state == "void":
        return None
    stored = platform.objects.stat("raw", batch.name.object_name)
    return _receipt_of(batch, stored) if stored and _is_same(batch, stored) else None


def _decide_claim(changes: Changes, wanted: Wanted, expires: str) -> None:
    stream = wanted.name.stream
    projection = changes.projection(stream)
    content: dict[str, Json] = {
        "last": wanted.name.last,
        "count": wanted.count,
        "bytes": wanted.bytes,
        "sha256": wanted.name.sha256,
        "md5": wanted.md5,
        "alarm": wanted.alarm,
        "content_type": wanted.content_type,
    }
    if projection:
        batch = Batch.model_validate(projection)
        same = batch.name == wanted.name and (batch.bytes, batch.md5) == (wanted.bytes, wanted.md5)
        if not same and batch.state != "void":
            raise _conflict(batch)
        if same and batch.state == "claimed":
            again = {"expires": expires, "claims": batch.claims + 1}
            changes.replace(stream, batch.model_copy(update=again).model_dump(mode="json"))
            return
        if same and batch.has_landed:
            return
    whose: dict[str, Json] = {
        "device": wanted.name.device,
        "epoch": wanted.name.epoch,
        "first": wanted.name.first,
    }
    changes.add(stream, NewEvent("claimed", {**whose, **content, "expires": expires}))


def _conflict(batch: Batch) -> RequestRefused:
    return RequestRefused(
        409,
        "batch_conflict",
        "The range was claimed with other content",
        f"Events from {batch.first} of epoch {batch.epoch} were claimed as a batch up to "
        f"{batch.last} with SHA-256 {batch.sha256}. Send these events under a new epoch.",
        sha256=batch.sha256,
        last=batch.last,
    )


def _note_epoch(changes: Changes, wanted: Wanted) -> None:
    """The first claim of an epoch begins it, and tells the epoch before it how far that went."""
    device, epoch = wanted.name.device, wanted.name.epoch
    own = epoch_stream(device, epoch)
    if changes.projection(own):
        return
    before = wanted.predecessor
    changes.add(own, NewEvent("began", {"predecessor": before.model_dump() if before else None}))
    if before is None:
        return
    stream = epoch_stream(device, before.epoch)
    changes.add(stream, NewEvent("succeeded", {"by": epoch, "last": before.last}))
    forked = Epoch.model_validate(changes.projection(stream))
    if forked.is_forked:
        detail = (
            f"The epochs {' and '.join(forked.successors)} both follow {before.epoch}: two agents "
            "have this device's key and disk. Both keep their data; provision one of them anew."
        )
        apply_findings(changes, device, [Finding("cloned", detail)])


def commit_batch(platform: Platform, name: BatchName) -> Receipt:
    """The receipt of a batch whose bytes are there.

    Raises RequestRefused: 409 `not_uploaded`, 422 `content_differs` when the stored bytes or the
    SHA-256 are not those claimed. Stored bytes that differ are removed, and their claim is void.
    """
    projection = platform.log.head(name.stream).projection
    batch = Batch.model_validate(projection) if projection else None
    if batch is None or batch.last != name.last or batch.state == "void":
        raise _not_uploaded("It was never claimed so. Claim it with POST /api/edge/batches.")
    if batch.sha256 != name.sha256:
        raise _differs(batch, f"was claimed with the SHA-256 {batch.sha256}")
    stored = platform.objects.stat("raw", batch.name.object_name)
    if stored is None:
        raise _not_uploaded("Nothing is stored under its name. Claim it again and upload it.")
    if not _is_same(batch, stored):
        _void(platform, batch, stored)
        raise _differs(batch, f"is stored with {stored.size:,} bytes and the MD5 {stored.md5}")
    return _receipt_of(batch, stored)


def _is_same(batch: Batch, stored: StoredObject) -> bool:
    """Length and MD5 are what the store itself computed."""
    known = stored.md5 in (None, batch.md5)
    return known and stored.size == batch.bytes


def _receipt_of(batch: Batch, stored: StoredObject) -> Receipt:
    return Receipt(batch.name.object_name, batch.sha256, stored.size, format_time(stored.created))


def _void(platform: Platform, batch: Batch, stored: StoredObject) -> None:
    """Only who writes to the bucket itself can have stored other bytes: they go, so that the
    device's own find room; the generation stays readable."""
    problem: dict[str, Json] = {"problem": f"stored were {stored.size} bytes, MD5 {stored.md5}"}
    while True:
        changes = Changes(platform)
        now = Batch.model_validate(changes.projection(batch.stream))
        if now.state not in ("claimed", "lapsed") or now.sha256 != batch.sha256:
            break
        changes.add(batch.stream, NewEvent("void", problem))
        if changes.commit():
            break
    platform.objects.delete(stored.ref)


def _not_uploaded(detail: str) -> RequestRefused:
    return RequestRefused(409, "not_uploaded", "The batch is not there", detail)


def _differs(batch: Batch, what: str) -> RequestRefused:
    return RequestRefused(
        422,
        "content_differs",
        "The content is not what was claimed",
        f"The batch {batch.first}-{batch.last} {what}. Check the file, and claim it again.",
    )
