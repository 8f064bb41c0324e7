"""Several control planes that change the same definitions at the same time: no change is lost.

LANEWAY_TEST_STORE_WRITES and LANEWAY_TEST_STORE_SECONDS make the run long: so many answered changes, and so
many seconds, at least.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from controlplane.model.export import export
from controlplane.store.nacos.items import INDEX, decode_index
from tests.store.nacos_tools import behind, connection, names, opened
from tests.store.nacos_writer import APPLICATIONS, count

WRITES = int(os.environ.get("LANEWAY_TEST_STORE_WRITES", "200"))
SECONDS = float(os.environ.get("LANEWAY_TEST_STORE_SECONDS", "0"))
TASKS = 16

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300 + 3 * SECONDS)]


class Writer:
    """A process that writes, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.answered: list[tuple[str, int]] = []
        self.unknown = 0
        self.unavailable: list[str] = []
        self.state: list[str] = []
        self.stopped = asyncio.Event()
        self.progress = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, address: str, namespace: str) -> Writer:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.store.nacos_writer", address, namespace, str(TASKS)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=Path(__file__).parents[2],
            )
        )

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # of a writer that was killed
            word, *rest = line.decode().split()
            if word in APPLICATIONS:
                self.answered.append((word, int(rest[0])))
            elif word == "unknown":
                self.unknown += 1
            elif word == "unavailable":
                self.unavailable.append(" ".join(rest))
            elif word == "stopped":
                self.stopped.set()
            else:
                self.state = rest
            self.progress.set()

    async def until_answered(self, number: int) -> None:
        while len(self.answered) < number and not self.reading.done():
            self.progress.clear()
            await self.progress.wait()

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self.reading


async def test_no_update_is_lost_although_one_writer_is_killed(nacos_address: str) -> None:
    at = connection(nacos_address)
    began = time.monotonic()
    writers = [await Writer.start(nacos_address, at.namespace) for _ in range(3)]
    one, two, killed = writers
    try:
        async with opened(at) as watching:
            await killed.until_answered(WRITES // 6)
            await asyncio.sleep(SECONDS / 2)  # the length of a long run is the point of it
            killed.process.kill()
            await killed.process.wait()
            await killed.reading
            for writer in (one, two):
                await writer.until_answered((WRITES - len(killed.answered)) // 2)
            await asyncio.sleep(max(0.0, began + SECONDS - time.monotonic()))
            for writer in (one, two):
                writer.say("stop")
            for writer in (one, two):
                await writer.stopped.wait()
            took = time.monotonic() - began
            # A change after all others, which finds what the killed writer may have left behind.
            last = await watching.change(lambda now: now.delete("Application", APPLICATIONS[0]))
            counted = (await watching.revisions(1))[0].changes[0].before
            assert counted is not None
            for writer in (one, two):
                writer.say(str(last.revision))
                await writer.reading
            definitions = last.definitions
            async with opened(at) as fresh:
                assert fresh.current == last
                kept = [one.number for one in await fresh.revisions(200)]
                assert kept == list(range(last.revision, max(0, last.revision - 200), -1))
    finally:
        for writer in writers:
            await writer.end()
    final = {name: count(definitions, name) for name in APPLICATIONS[1:]}
    final[APPLICATIONS[0]] = int(counted["services"][0].removeprefix("n-"))
    answered = Counter(pair for writer in writers for pair in writer.answered)
    every = {(name, value) for name in APPLICATIONS for value in range(1, final[name] + 1)}
    unanswered = len(every) - len(answered)
    shares = [len(writer.answered) for writer in writers]
    unknown = sum(writer.unknown for writer in writers)
    unavailable = [reason for writer in writers for reason in writer.unavailable]
    print(
        f"{sum(shares)} answered in {took:.1f} s by {shares} (the last one killed), "
        f"{last.revision} revisions, {unanswered} made but not answered, {unknown} unknown, "
        f"{len(unavailable)} unavailable"
    )
    assert sum(shares) >= WRITES - 3
    assert max(answered.values()) == 1, "two changes counted up to the same number: one of them was lost"
    assert answered.keys() <= every, "an answered change is not in the definitions"
    assert unanswered <= TASKS + unknown
    assert last.revision == len(every) + 1
    assert not unavailable
    digest = hashlib.sha256(export(definitions).encode()).hexdigest()
    assert [writer.state[:2] for writer in (one, two)] == [[str(last.revision), digest]] * 2


async def test_what_a_killed_writer_left_behind_is_deleted(nacos_address: str) -> None:
    at = connection(nacos_address)
    writer = await Writer.start(nacos_address, at.namespace)
    try:
        await writer.until_answered(40)
    finally:
        await writer.end()
    async with behind(at) as session:
        async with opened(at) as store:
            await store.change(lambda now: now.delete("Application", APPLICATIONS[0]))
        index = await session.get(INDEX)
        assert index is not None
        assert await names(at) == decode_index(index).items()
