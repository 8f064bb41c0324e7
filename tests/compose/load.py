"""Steady traffic through the edge in the background, each request with the time when it began."""

from __future__ import annotations

import asyncio
import collections
import re
import threading
import time
from dataclasses import dataclass
from types import TracebackType

import aiohttp

CANARY = {"canary": "gray"}


@dataclass(frozen=True)
class Sent:
    """One request: when it began (monotonic seconds), of which kind, and what came of it."""

    at: float
    kind: str
    status: int
    text: str

    @property
    def ok(self) -> bool:
        return self.status == 200


class Load:
    """`rate` requests a second of each kind, base and gray, while the block runs. Open loop: a request that
    hangs does not keep the next from being sent."""

    def __init__(self, url: str, rate: float = 10.0, timeout: float = 30.0) -> None:
        self._url, self._rate, self._timeout = url, rate, timeout
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.sent: list[Sent] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        tasks: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(timeout=timeout) as client:
            began, number = time.monotonic(), 0
            while not self._stop.is_set():
                for kind in ("base", "gray"):
                    task = asyncio.create_task(self._one(client, kind))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                number += 1
                await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            await asyncio.gather(*tasks)

    async def _one(self, client: aiohttp.ClientSession, kind: str) -> None:
        at = time.monotonic()
        try:
            async with client.get(self._url, headers=CANARY if kind == "gray" else {}) as answer:
                status, text = answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text = 0, f"{type(error).__name__}: {error}"
        self.sent.append(Sent(at, kind, status, text))

    def failed(self, kind: str | None = None, since: float = 0.0, until: float = float("inf")) -> list[Sent]:
        return [s for s in self.sent if not s.ok and kind in (None, s.kind) and since <= s.at < until]

    def lines(self, kind: str) -> collections.Counter[str]:
        """Whole answers of one kind, without addresses and statuses of 200."""
        found: collections.Counter[str] = collections.Counter()
        for one in self.sent:
            if one.kind == kind:
                text = re.sub(r"\[\d[\d.]*\]|\[config=\w+\]", "", one.text)
                found[text.replace(" ", "") if one.ok else f"{one.status}: {text[:250]}"] += 1
        return found

    def story(self) -> str:
        """What came back, in one line."""
        gray = ", ".join(f"{count} {line}" for line, count in self.lines("gray").most_common(4))
        base = ", ".join(f"{count} {line}" for line, count in self.lines("base").most_common(3))
        return f"{len(self.failed())} of {len(self.sent)} not 200; base: {base}; gray: {gray}"
