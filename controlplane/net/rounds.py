"""Whose turn it is among things that wait: addresses take turns, and the things of one address keep their
order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from .largest import Largest

T = TypeVar("T")


class Rounds(Generic[T]):
    """Things that wait, each from an address as `crowd.sender` writes it."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._numbers = Largest[str]()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, host: str, thing: T) -> None:
        """The thing waits."""
        self._waiting.setdefault(host, deque()).append(thing)
        self._numbers.add(host, 1)
        self._length += 1

    def take(self) -> T:
        """The next one. Raises KeyError if none waits."""
        host, things = self._waiting.popitem(last=False)
        thing = things.popleft()
        if things:
            self._waiting[host] = things  # behind all others
        self._taken(host)
        return thing

    def drop(self) -> tuple[str, T]:
        """The last one of the address with the most, which is taken away, and that address. Raises KeyError
        if none waits.
        """
        if (host := self._numbers.find()) is None:
            raise KeyError
        things = self._waiting[host]
        thing = things.pop()
        if not things:
            del self._waiting[host]
        self._taken(host)
        return host, thing

    def _taken(self, host: str) -> None:
        self._numbers.add(host, -1)
        self._length -= 1
