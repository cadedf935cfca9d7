"""What devices send, as pydantic models. Members that are not known here are ignored, so that a
device may be newer than the cloud."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from eventpulse.fleet.batches import CONTENT_TYPES, MOST_NUMBER, Predecessor
from eventpulse.fleet.commands import Reported
from eventpulse.fleet.devices import DEVICE_ID, EPOCH, PublicKey

Number = Annotated[int, Field(ge=1, le=MOST_NUMBER, strict=True)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class EnrolmentRequest(Sent):
    device: str = Field(pattern=DEVICE_ID)
    claim_code: str = Field(min_length=1, max_length=100)
    public_key: PublicKey
    firmware: str = Field("", max_length=100)
    proof: str = Field(max_length=4_096)


class BatchRequest(Sent):
    """The events `first` to `last` of an epoch, `count` of them; `bytes` are those of the gzip."""

    epoch: str = Field(pattern=EPOCH)
    first: Number
    last: Number
    count: int = Field(ge=1, strict=True)
    prev_last: int | None = Field(None, ge=0)
    epoch_predecessor: Predecessor | None = None
    bytes: int = Field(ge=1, strict=True)
    sha256: Sha256
    md5: str = Field(pattern=r"^[A-Za-z0-9+/]{22}==$")
    alarm: bool = False
    content_type: Literal["application/gzip"] = CONTENT_TYPES[0]  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check(self) -> BatchRequest:
        if self.last < self.first:
            raise ValueError("last is less than first")
        if self.count > self.last - self.first + 1:
            raise ValueError("count is more than there are numbers from first to last")
        if self.prev_last is not None and self.prev_last >= self.first:
            raise ValueError("prev_last is not before first")
        if self.epoch_predecessor is not None and self.epoch_predecessor.epoch == self.epoch:
            raise ValueError("epoch_predecessor is the epoch itself")
        return self


class CommitRequest(Sent):
    sha256: Sha256


class CommandReport(Sent):
    status: Reported
    expected_version: int = Field(ge=0, strict=True)
    result: dict[str, JsonValue] | None = None


class KeyRequest(Sent):
    public_key: PublicKey
    proof: str = Field(max_length=4_096)
