"""What several control planes have counted, put together for one answer.

Each counts what its own proxies report. Whoever is asked over REST asks the others (`controlplane.app.peers`)
for the rows of the same window, and answers from all of them. Slots are numbered by the time of day, so the
clocks of control planes have to agree to a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.traffic.ejections import Ejected, summed
from controlplane.traffic.figures import Counts, Traffic, Wanted, Window, in_lane
from controlplane.traffic.meter import Gap
from controlplane.traffic.series import FIELDS, SLOT, Key


@dataclass(frozen=True, slots=True)
class Interest:
    """Which series an answer needs: those of any of these applications, services and gateways (as their edges
    count); of all if nothing is named. lanes: only what callers counted in lanes.
    """

    applications: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()
    lanes: bool = False

    def __call__(self, key: Key) -> bool:
        if self.lanes and not in_lane(key):
            return False
        if not (self.applications or self.services or self.gateways):
            return True
        return (
            key.application in self.applications
            or key.service in self.services
            or (key.hop == "edge" and key.gateway in self.gateways)
        )


class Rows:
    """One series of another control plane, in the steps of one window. `rows`: a step's first slot, and its
    counts.
    """

    __slots__ = ("key", "last", "rows")

    def __init__(self, key: Key, last: int, rows: Iterable[tuple[int, Sequence[int]]]) -> None:
        self.key = key
        self.last = last
        self.rows = tuple(rows)

    def read(self, first: int, last: int, into: list[int]) -> bool:
        """Add what was counted in the steps that begin from `first` up to, not including, `last`."""
        found = False
        for slot, counts in self.rows:
            if first <= slot < last:
                found = True
                for field, count in enumerate(counts):
                    into[field] += count
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What a control plane has counted. connected, reporting: its proxies. gaps: those of the window.
    ejected: what they have ejected lately, by cluster.
    """

    connected: int
    reporting: int
    gaps: Sequence[Gap]
    series: Sequence[Rows]
    ejected: Mapping[str, Ejected]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another control plane that was asked. problem: why it did not answer, "" if it did."""

    url: str
    problem: str = ""


def tell(traffic: Traffic, connected: int, window: Window, interest: Interest) -> Told:
    """What this control plane has counted itself, for others."""
    found: list[Rows] = []
    for one in traffic.table.where(interest):
        if one.last < window.first:
            continue
        rows: list[tuple[int, list[int]]] = []
        for first in window.steps:
            counts = [0] * FIELDS
            if one.read(first, first + window.step, counts) and any(counts):
                rows.append((first, counts))
        if rows:
            found.append(Rows(one.key, one.last, rows))
    return Told(
        connected, traffic.meter.reporting(), traffic.gaps(window), found, traffic.meter.ejections.lately()
    )


class Everywhere(Traffic):
    """The traffic of this control plane and of `others`, for one window. peers: all that were asked."""

    def __init__(
        self, own: Traffic, connected: int, others: Sequence[Told] = (), peers: Sequence[Peer] = ()
    ) -> None:
        super().__init__(own.table, own.meter)
        self._told = others
        self.peers = peers
        self.connected = connected + sum(one.connected for one in others)
        self.reporting = own.meter.reporting() + sum(one.reporting for one in others)

    def of_others(self) -> list[Counts]:
        """What the others have told."""
        return [one for told in self._told for one in told.series]

    def ejected_by_others(self) -> Mapping[str, Ejected]:
        """What proxies of the others have ejected lately, by cluster."""
        return summed(one for told in self._told for one in told.ejected.items())

    def select(self, wanted: Wanted) -> list[Counts]:
        return super().select(wanted) + [one for one in self.of_others() if wanted(one.key)]

    def gaps(self, window: Window) -> list[Gap]:
        own = super().gaps(window)
        return joined([own, *(told.gaps for told in self._told)]) if self._told else own


def joined(all_gaps: Sequence[Sequence[Gap]]) -> list[Gap]:
    """The gaps of several control planes. A proxy that fell silent at one and is new at another has moved:
    what may be missing lies between its last report to the one and its first to the other.
    """
    found = [(place, one) for place, gaps in enumerate(all_gaps) for one in gaps]
    came = [(place, one) for place, one in found if one.why in ("new", "away")]
    moved: dict[int, Gap] = {}
    hidden: set[int] = set()
    for place, one in found:
        if one.why != "silent":
            continue
        later = [
            other
            for where, other in came
            if where != place and other.node == one.node and (other.end or one.start) >= one.start - 2 * SLOT
        ]
        if later:
            first = min(later, key=lambda other: other.start)
            end = max(one.start, first.end or first.start)
            moved[id(first)] = replace(one, end=end, why="moved")
            hidden.add(id(one))
    gaps = [moved.get(id(one), one) for _, one in found if id(one) not in hidden]
    return sorted(gaps, key=lambda one: one.start)
