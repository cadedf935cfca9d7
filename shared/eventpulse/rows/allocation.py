"""What a process keeps of the memory that it no longer uses."""

from __future__ import annotations

import ctypes
from functools import cache

import pyarrow as pa

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


@cache
def prefer_returning_memory() -> None:
    """From now on, keep less for later where several threads allocate and free large arrays.

    Arrow's default allocator and glibc each keep what every single thread has freed, which was a
    third of the peak of validating a large file. jemalloc shares it between threads, at the same
    speed, and glibc does so in fewer arenas. Where either is not there, nothing changes.
    """
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_ARENA_MAX, 2)
