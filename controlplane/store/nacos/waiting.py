"""Repeated attempts, and requests side by side, both with bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 8
"""Most requests in flight."""

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.25
"""Seconds between attempts."""


class Lagging(Exception):
    """A server does not have yet what is already known."""


async def tries(seconds: float) -> AsyncIterator[bool]:
    """Yields once for each attempt, with growing pauses: False, and True for the last one after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    pause = FIRST_PAUSE
    while loop.time() < end:
        yield False
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 1.5, LONGEST_PAUSE)
    yield True


async def at_once(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all `work`, in order, AT_ONCE at a time. After an exception, which is raised,
    none is begun.
    """
    waiting = iter(enumerate(work))
    results: dict[int, T] = {}

    async def worker() -> None:
        for number, one in waiting:
            results[number] = await one

    workers = [asyncio.create_task(worker()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[number] for number in sorted(results)]
