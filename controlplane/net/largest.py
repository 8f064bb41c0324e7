"""Which of many has most of something, found without looking at all of them."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

COMPARED = 64
"""Most that are compared with each other."""


class Largest(Generic[T]):
    """Amounts by their owners. An owner without an amount is forgotten.

    A bound that many share is enforced against the one that uses most. To look for it among thousands each
    time would cost more than what the client sent; so owners stand in classes whose amounts differ by less
    than a factor of two.
    """

    __slots__ = ("_amounts", "_classes")

    def __init__(self) -> None:
        self._amounts: dict[T, int] = {}
        self._classes: dict[int, dict[T, None]] = {}

    def __getitem__(self, owner: T) -> int:
        return self._amounts.get(owner, 0)

    def add(self, owner: T, amount: int) -> None:
        """The owner has so much more, or, where it is negative, less."""
        before = self._amounts.get(owner, 0)
        now = before + amount
        if now:
            self._amounts[owner] = now
        else:
            self._amounts.pop(owner, None)
        old, new = before.bit_length(), now.bit_length()
        if old == new:
            return
        if old:
            del self._classes[old][owner]
            if not self._classes[old]:
                del self._classes[old]
        if new:
            self._classes.setdefault(new, {})[owner] = None

    def find(self) -> T | None:
        """The owner of the largest amount; where more than `COMPARED` have over half of it, one of these.
        None if there is no owner.
        """
        if not self._classes:
            return None
        candidates = self._classes[max(self._classes)]
        return max(islice(candidates, COMPARED), key=self._amounts.__getitem__)
