"""Encoded selections of resources, kept while they are true so that streams share them."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_ENTRIES = 256
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """Encoded `resources` fields, the names that were found, the sum of their digests, how many they are."""

    body: bytes
    found: frozenset[str]
    weight: int
    count: int


class ResponseCache:
    """Selections by what was asked for. Bounded in number and bytes; the owner clears it on a change."""

    __slots__ = ("_entries", "_size")

    def __init__(self) -> None:
        self._entries: dict[tuple[frozenset[str] | None, bool], Selection] = {}
        self._size = 0

    def get(self, names: frozenset[str] | None, delta: bool) -> Selection | None:
        return self._entries.get((names, delta))

    def put(self, names: frozenset[str] | None, delta: bool, selection: Selection) -> None:
        if len(self._entries) >= _MOST_ENTRIES or self._size > _MOST_BYTES:
            self.clear()
        self._entries[names, delta] = selection
        self._size += len(selection.body)

    def clear(self) -> None:
        if self._entries:
            self._entries.clear()
            self._size = 0
