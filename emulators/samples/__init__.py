"""Sample files: real ones, compressed (see README.md), and generated ones (`generate.py`)."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Literal, get_args

SampleName = Literal["weather", "planes", "airports", "airlines"]
SAMPLES: tuple[SampleName, ...] = get_args(SampleName)


def read_sample(name: SampleName) -> bytes:
    """The bytes of one real sample, a CSV file with a header, decompressed."""
    return gzip.decompress((Path(__file__).parent / f"{name}.csv.gz").read_bytes())
