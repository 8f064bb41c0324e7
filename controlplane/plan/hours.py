"""When the lanes of a plan are open: a claim about several holds only while all of them are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane
from controlplane.model.time_fields import instant_of
from controlplane.model.times import phase, timed
from controlplane.model.together import covers, together


@dataclass(frozen=True, slots=True)
class Hours:
    """lanes: those with times, by name; every other lane is always open. at: now. Times are in seconds since
    the epoch.
    """

    lanes: Mapping[str, Lane] = field(default_factory=dict[str, Lane])
    at: float = 0.0

    @classmethod
    def of(cls, definitions: Definitions, at: float) -> Hours:
        """Those of all lanes."""
        return cls({name: lane for name, lane in definitions.lanes.items() if timed(lane)}, at)

    def over(self) -> frozenset[str]:
        """The lanes that do not open any more."""
        return frozenset(name for name, lane in self.lanes.items() if phase(lane, self.at).over)

    def closed(self, at: float) -> frozenset[str]:
        """The lanes that are closed at that moment."""
        return frozenset(name for name, lane in self.lanes.items() if not phase(lane, at).open)

    def first(self, *names: str) -> float | None:
        """The first moment from now on at which all of them are open; None if there is none."""
        lanes = [self.lanes[name] for name in names if name in self.lanes]
        return together(lanes, self.at) if lanes else self.at

    def covers(self, one: str, other: str) -> bool:
        """Whether `one` is open whenever `other` is, from now on. False, too, where that is not plain."""
        if one not in self.lanes:
            return True
        mine, its = self.lanes[one], self.lanes.get(other)
        if its is None:  # it is always open
            now = phase(mine, self.at)
            return now.open and now.until is None
        return covers(mine, its, self.at)

    def open(self, name: str, at: float) -> bool:
        """Whether the lane is open at that moment."""
        return name not in self.lanes or phase(self.lanes[name], at).open

    def until(self, names: Iterable[str], at: float) -> float | None:
        """When the first of these lanes closes that are open at that moment; None if none ever does."""
        ends = [phase(self.lanes[name], at).until for name in names if name in self.lanes]
        return min((end for end in ends if end is not None), default=None)

    def words(self, at: float, names: Iterable[str]) -> str:
        """The moment as a time of RFC 3339, by the clocks of the first of these lanes that has a schedule."""
        schedules = (self.lanes[name].schedule for name in names if name in self.lanes)
        return instant_of(at, next((one.time_zone for one in schedules if one is not None), "UTC"))

    def span(self, begin: float, names: Collection[str]) -> str:
        """The time from `begin` until one of these lanes closes, as the beginning of a sentence, such as
        `from ... until ...: `; nothing where it has begun and does not end.
        """
        until = self.until(names, begin)
        ends = f"until {self.words(until, names)}: " if until is not None else ""
        if begin <= self.at:
            return ends
        return f"from {self.words(begin, names)} {ends or 'on: '}"


ALWAYS = Hours()
"""Where no lane has times."""
