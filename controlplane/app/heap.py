"""Memory settings for a process that holds a large, mostly immutable state and sends much of it at once."""

from __future__ import annotations

import asyncio
import ctypes
import gc

#: Objects made and not freed until the collector looks through the youngest generation (CPython: 700), and
#: passes of a generation until the next. A pass stops the process for as long as its objects take: with
#: (50_000, 20, 20) 4 to 10 ms in the youngest generation and up to 250 ms in the second, with these below
#: 1 ms and about 4 ms. The sum is the same, and the oldest generation is looked through as seldom.
THRESHOLDS = (2_000, 5, 2_000)

# Parameters of glibc's mallopt, malloc.h, and bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
ALLOCATOR = {_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 4 << 20, _MMAP_THRESHOLD: 32 << 20}


def tune() -> None:
    """Collect garbage less often and never among imported modules; keep freed memory for the next reply.

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


INTERVAL = 2.0
"""Seconds between two checks of how much memory is free."""
KEPT = 16 << 20
"""Bytes of freed memory that are kept for the next replies."""


class _Mallinfo(ctypes.Structure):
    """mallinfo2 of glibc 2.33, malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


async def give_back() -> None:
    """Return freed memory to the system when the process has not used it again for a while.

    The allocator keeps free memory that lies between blocks in use, so a client that once made the process
    hold much memory would enlarge it for ever. Runs until it is cancelled; without glibc it does nothing.
    """
    libc = ctypes.CDLL(None)
    info, trim = getattr(libc, "mallinfo2", None), getattr(libc, "malloc_trim", None)
    if info is None or trim is None:
        return
    info.restype = _Mallinfo
    before = 0
    while True:
        await asyncio.sleep(INTERVAL)
        free = int(info().fordblks)
        if min(free, before) > KEPT:
            await asyncio.to_thread(trim, KEPT // 2)
            free = 0
        before = free
