"""What several changes that are written together make of the definitions; and work side by side."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application
from controlplane.model.problems import DefinitionError
from controlplane.store.interface import Stored
from controlplane.store.nacos.pending import Pending, fail, run
from controlplane.store.nacos.waiting import AT_ONCE, at_once, tries


def put(name: str, *services: str) -> Pending:
    return Pending(lambda now: now.put(Application(name=name, services=services)), "ann", "")


async def test_each_change_sees_those_before_it() -> None:
    seen: list[int] = []

    def look(now: Definitions) -> Definitions:
        seen.append(len(now.applications))
        return now

    batch = [put("a"), Pending(look, "", ""), put("b"), Pending(look, "", "")]
    last, revisions, outcomes = run(batch, Stored(Definitions(), 7), lambda: 1.5)
    assert seen == [1, 2]
    assert [one.number for one in revisions] == [8, 9]
    assert [one.revision for one in outcomes if isinstance(one, Stored)] == [8, 8, 9, 9]
    assert last == outcomes[-1]
    assert [one.at for one in revisions] == [1.5, 1.5]


async def test_a_refused_change_does_not_hold_up_the_others() -> None:
    batch = [put("a"), Pending(lambda now: now.delete("Application", "x"), "", ""), put("b")]
    last, revisions, outcomes = run(batch, Stored(), lambda: 0.0)
    assert sorted(last.definitions.applications) == ["a", "b"]
    assert len(revisions) == 2
    refused = outcomes[1]
    assert isinstance(refused, DefinitionError)
    assert refused.status == 404


async def test_a_change_without_effect_makes_no_revision() -> None:
    start = Stored(Definitions().put(Application(name="a")), 3)
    last, revisions, outcomes = run([put("a")], start, lambda: 0.0)
    assert last is start
    assert not revisions
    assert outcomes == [start]


async def test_an_outcome_reaches_who_waits_and_disturbs_nobody_who_is_gone() -> None:
    waiting, gone = put("a"), put("b")
    gone.result.cancel()
    fail([waiting, gone], DefinitionError(409, "no"))
    with pytest.raises(DefinitionError, match="no"):
        await waiting.result


async def test_side_by_side_keeps_the_order_and_the_bound() -> None:
    running = most = 0

    async def one(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(number % 3):
            await asyncio.sleep(0)
        running -= 1
        return number

    assert await at_once(one(number) for number in range(50)) == list(range(50))
    assert most == AT_ONCE


async def test_after_a_failure_nothing_more_is_begun() -> None:
    begun: list[int] = []

    async def one(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="three"):
        await at_once(one(number) for number in range(50))
    assert begun == list(range(AT_ONCE))


async def test_tries_end_with_one_that_knows_it() -> None:
    turns = [last async for last in tries(0.05)]
    assert turns[0] is False
    assert turns[-1] is True
    assert sum(turns) == 1
