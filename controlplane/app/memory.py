"""Memory of a process that holds a large, mostly immutable state and sends much of it at a time."""

from __future__ import annotations

import ctypes
import gc

#: Objects made and not freed until the youngest generation is looked through (CPython: 700), and passes of a
#: generation until the next.
THRESHOLDS = (50_000, 20, 20)

# Parameters of glibc's mallopt, malloc.h, and bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
ALLOCATOR = {_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 4 << 20, _MMAP_THRESHOLD: 32 << 20}


def tune() -> None:
    """Leave what is imported alone, look through the rest less often, keep freed memory for the next reply.

    A thousand streams that come back at once make few cycles and many objects: with CPython's thresholds the
    collector takes a tenth of the time. Replies of half a megabyte, given back to the system and taken again
    page by page, cost a first sync a fifth of its time, for 8 MiB (bench/run.py, phases storm and sync).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        for parameter, value in ALLOCATOR.items():
            mallopt(parameter, value)
