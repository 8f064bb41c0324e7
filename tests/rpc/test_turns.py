"""Turns of the event loop: who waits for whom, and what a turn that took too long costs."""

from __future__ import annotations

import time
from collections.abc import Callable

from controlplane.rpc.turns import SLICE, Turns


class Work:
    """A reader of so many pieces; the clock is the real one."""

    def __init__(self, host: str, pieces: int, log: list[str], name: str) -> None:
        self.host = host
        self.pieces = pieces
        self.cpu = 0.0
        self._log = log
        self._name = name

    def handle(self, until: float) -> bool:
        while self.pieces:
            self.pieces -= 1
            self._log.append(self._name)
            time.sleep(SLICE)
            if time.perf_counter() > until:
                break
        return not self.pieces


def test_addresses_take_turns_and_then_their_connections() -> None:
    later: list[Callable[[], None]] = []
    turns = Turns(later.append)
    log: list[str] = []
    crowd = [Work("a", 3, log, f"a{index}") for index in range(3)]
    other = Work("b", 3, log, "b")
    for one in (*crowd, other):
        turns.arrived(one)
    while later:
        later.pop(0)()
    assert log[0] == "a0"  # there was time left in this turn
    positions = [index for index, name in enumerate(log) if name == "b"]
    assert positions[-1] < 8, log  # of 12; one after the other it would be the last
    assert sorted(log) == ["a0"] * 3 + ["a1"] * 3 + ["a2"] * 3 + ["b"] * 3
    assert other.cpu <= -3 * SLICE


def test_a_turn_that_took_too_long_is_paid_back() -> None:
    """One piece cannot be divided. The turns after it are for everybody else, until the average is kept."""
    later: list[Callable[[], None]] = []
    turns = Turns(later.append)
    log: list[str] = []

    class Long(Work):
        def handle(self, until: float) -> bool:
            self.pieces -= 1
            self._log.append(self._name)
            while time.perf_counter() < until + 3 * SLICE:
                pass
            return not self.pieces

    turns.arrived(Long("a", 3, log, "long"))
    for _ in range(3):
        assert len(later) == 1
        later.pop()()
        assert log == ["long"], "others have these turns to themselves"
    while later:
        later.pop()()
    assert log == ["long"] * 3
