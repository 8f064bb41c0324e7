"""Asks what the checks and hooks of releases need from others, beside the look at their own traffic.

A look never waits for an answer: a hook that is silent must not hold up an abort. Each question is asked in a
task of its own, and the next look takes what was answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from controlplane.model.kinds import Key
from controlplane.model.releases import Finding

_log = structlog.get_logger("laneway.release")

Question = tuple[Key, float, str]
"""A release, the begin of its step, and the check or hook."""
Ask = Callable[[], Awaitable[Finding]]


@dataclass(slots=True)
class _Asked:
    at: float
    task: asyncio.Task[None] | None = None
    finding: Finding | None = None
    of: float = 0.0
    fresh: bool = False


class Asking:
    """The questions of all releases that are under way."""

    def __init__(self) -> None:
        self._asked: dict[Question, _Asked] = {}

    def begin(self, question: Question, ask: Ask, now: float, every: float) -> None:
        """Ask, unless that is under way, or was begun less than `every` seconds before `now`."""
        asked = self._asked.get(question)
        if asked is None:
            asked = self._asked[question] = _Asked(now)
        elif asked.task is not None or now - asked.at < every:
            return
        asked.at = now
        asked.task = asyncio.create_task(self._ask(asked, ask, question[0].name), name=f"ask {question[2]}")

    async def _ask(self, asked: _Asked, ask: Ask, release: str) -> None:
        begun = asked.at
        try:
            asked.finding, asked.of, asked.fresh = await ask(), begun, True
        except Exception:
            _log.exception("a release could not ask", release=release)
        finally:
            asked.task = None

    def answered(self, question: Question, oldest: float) -> tuple[Finding | None, bool]:
        """The last answer to what was asked since `oldest`, and whether it was not taken before."""
        asked = self._asked.get(question)
        if asked is None or asked.of < oldest:
            return None, False
        fresh, asked.fresh = asked.fresh, False
        return asked.finding, fresh

    def has_news(self, key: Key) -> bool:
        """Whether something was answered to a release since the last look."""
        return any(asked.fresh for question, asked in self._asked.items() if question[0] == key)

    def forget(self, keep: Callable[[Question], bool]) -> None:
        """Ask no more of what is not to be kept."""
        for question in [one for one in self._asked if not keep(one)]:
            task = self._asked.pop(question).task
            if task is not None:
                task.cancel()

    async def wait(self) -> None:
        """Until everything that was asked is answered."""
        tasks = [one.task for one in self._asked.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks)
