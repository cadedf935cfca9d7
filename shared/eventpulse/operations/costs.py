"""What ingestions cost on Google Cloud, estimated from their number and their size. Pure.

The rates are what one more of either adds to the month of `nox -s cost`: list prices
(infra/prices.toml) times the operations that one file is seen to make and the seconds and bytes
that a gigabyte is assumed to take (infra/usage.toml); a test holds them to it. Left out is what
costs without an ingestion, as storage, the schedule and the devices' calls do, and whatever Google
gives free. On the local lane nothing of it is paid.
"""

from __future__ import annotations

DOLLARS_AN_INGESTION = 0.000693
DOLLARS_A_GIGABYTE = 2.308e-2
BASIS = (
    "An estimate, not a bill: the day's ingestions and the bytes of their files at Google Cloud's "
    "list prices; storage, devices and what costs when idle are left out."
)


def estimate_dollars(ingestions: int, size: int) -> float:
    """Of so many ingestions whose files are `size` bytes together."""
    return ingestions * DOLLARS_AN_INGESTION + size / 1e9 * DOLLARS_A_GIGABYTE
