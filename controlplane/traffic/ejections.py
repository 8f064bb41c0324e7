"""Which clusters proxies have ejected instances of, as their reports say.

A proxy tries an ejected instance again every few seconds: so what it said counts for as long as a proxy may
be without a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

MOST_CLUSTERS = 1_000
"""Of one proxy."""


class Ejected(NamedTuple):
    """most: ejected instances of a cluster at one proxy. proxies: how many have ejected any."""

    most: int
    proxies: int


NONE = Ejected(0, 0)


class Ejections:
    """clock: seconds since the epoch. kept: for how many seconds a number counts."""

    def __init__(self, clock: Callable[[], float], kept: float) -> None:
        self._clock = clock
        self._kept = kept
        self._of_nodes: dict[str, dict[str, tuple[int, float]]] = {}

    def note(self, node: str, cluster: str, count: int) -> None:
        """A proxy reports how many instances of a cluster it has ejected now."""
        found = self._of_nodes.setdefault(node, {})
        if 0 < count <= 0xFFFF and (cluster in found or len(found) < MOST_CLUSTERS):
            found[cluster] = (count, self._clock())

    def sweep(self) -> None:
        """Forget what is old."""
        oldest = self._clock() - self._kept
        for node, found in tuple(self._of_nodes.items()):
            for cluster in [name for name, (_, at) in found.items() if at < oldest]:
                del found[cluster]
            if not found:
                del self._of_nodes[node]

    def lately(self) -> Mapping[str, Ejected]:
        """By cluster."""
        oldest = self._clock() - self._kept
        return summed(
            (cluster, Ejected(count, 1))
            for found in tuple(self._of_nodes.values())
            for cluster, (count, at) in tuple(found.items())
            if at >= oldest
        )


def summed(found: Iterable[tuple[str, Ejected]]) -> dict[str, Ejected]:
    """The most of any, and the proxies of all."""
    sums: dict[str, Ejected] = {}
    for cluster, one in found:
        known = sums.get(cluster, NONE)
        sums[cluster] = Ejected(max(known.most, one.most), known.proxies + one.proxies)
    return sums
