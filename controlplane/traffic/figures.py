"""Questions to the series: sums and rates of a window of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controlplane.traffic import series as fields
from controlplane.traffic.ejections import NONE, Ejected, summed
from controlplane.traffic.meter import Gap, Meter
from controlplane.traffic.series import (
    COARSE,
    FIELDS,
    FIRST_BUCKET,
    HISTORY,
    RECENT,
    SLOT,
    Key,
    quantile,
)
from controlplane.traffic.table import Table

Wanted = Callable[[Key], bool]
CALLERS = frozenset({"edge", "outbound"})
RECEIVERS = frozenset({"inbound"})
MINUTE = 60


class Counts(Protocol):
    """What was counted of one kind of requests. `last`: the last slot in which there was something."""

    @property
    def key(self) -> Key: ...

    @property
    def last(self) -> int: ...

    def read(self, first: int, last: int, into: list[int]) -> bool:
        """Add what was counted in the slots from `first` up to, not including, `last`. Whether there is
        any.
        """
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """Slots from `first` up to, not including, `last`, in steps of `step` slots."""

    first: int
    last: int
    step: int

    @property
    def seconds(self) -> int:
        return (self.last - self.first) * SLOT

    @property
    def steps(self) -> list[int]:
        """The first slot of each step."""
        return list(range(self.first, self.last, self.step))

    @classmethod
    def until(cls, now: float, seconds: float, step: float) -> Window:
        """The window that ends with the last slot that is over at `now`.

        Both are rounded up to whole steps; beyond the recent slots a step is at least COARSE slots.
        """
        last = int(now // SLOT)
        slots = max(1, -(-round(min(seconds, HISTORY)) // SLOT))
        each = max(1, -(-round(step) // SLOT))
        if slots > RECENT - COARSE:
            each = -(-each // COARSE) * COARSE
            last = last // COARSE * COARSE
        each = min(each, slots)
        return cls(last - -(-slots // each) * each, last, each)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted in some seconds. `counts`: by the fields of a series."""

    counts: Sequence[int]
    seconds: float

    @property
    def requests(self) -> int:
        return self.counts[fields.REQUESTS]

    @property
    def exceptions(self) -> int:
        """Requests that failed: answers of 500 and more, and resets."""
        return self.counts[fields.SERVER_ERRORS] + self.counts[fields.RESETS]

    @property
    def fallbacks(self) -> int:
        return self.counts[fields.FALLBACKS]

    @property
    def refusals(self) -> int:
        return self.counts[fields.REFUSALS]

    @property
    def qps(self) -> float:
        return self.requests / self.seconds

    @property
    def exception_qps(self) -> float:
        return self.exceptions / self.seconds

    @property
    def error_rate(self) -> float | None:
        """The part of the requests that failed, from 0 to 1; None without requests."""
        return self.exceptions / self.requests if self.requests else None

    def quantile(self, wanted: float) -> float | None:
        """Milliseconds."""
        return quantile(self.counts[FIRST_BUCKET:], wanted)


@dataclass(frozen=True, slots=True)
class Seen:
    """What proxies have seen of a lane's instances of a service lately. figures: of the last minute; None
    where nothing was counted.
    """

    figures: Figures | None
    ejected: Ejected = NONE


@dataclass(frozen=True, slots=True)
class Part:
    """A sum over a window, and over each of its steps."""

    total: Figures
    steps: Sequence[Figures]


class Traffic:
    """What the control plane knows of the traffic of its proxies."""

    def __init__(self, table: Table, meter: Meter) -> None:
        self.table = table
        self.meter = meter
        self.others: tuple[Window, Sequence[Counts]] | None = None
        """What other control planes counted in lanes in the last minute, as they told lately."""
        self.ejected_elsewhere: Mapping[str, Ejected] = {}
        """By cluster, as other control planes told lately."""
        self._in_lanes: tuple[object, Mapping[tuple[str, str], Figures]] = (None, {})

    def window(self, seconds: float, step: float) -> Window:
        return Window.until(self.meter.clock(), seconds, step)

    def select(self, wanted: Wanted) -> list[Counts]:
        return list[Counts](self.table.where(wanted))

    def figures(self, found: Iterable[Counts], window: Window) -> Figures:
        """The sum of these series over the whole window."""
        counts = [0] * FIELDS
        for one in found:
            one.read(window.first, window.last, counts)
        return Figures(counts, window.seconds)

    def part(self, found: Sequence[Counts], window: Window) -> Part:
        """The sum of these series over the window and over each step."""
        whole = [0] * FIELDS
        steps: list[Figures] = []
        for first in window.steps:
            counts = [0] * FIELDS
            for one in found:
                one.read(first, first + window.step, counts)
            steps.append(Figures(counts, window.step * SLOT))
            for field, count in enumerate(counts):
                whole[field] += count
        return Part(Figures(whole, window.seconds), steps)

    def in_lanes(self) -> Mapping[tuple[str, str], Figures]:
        """What callers of all control planes counted in the last minute, by lane and service. Made anew for
        each slot, and when others have told more.
        """
        window, others = self.window(MINUTE, MINUTE), self.others
        if self._in_lanes[0] != (window.last, id(others)):
            sums: dict[tuple[str, str], list[int]] = {}
            _sum_lanes(sums, self.select(in_lane), window)
            if others is not None:
                _sum_lanes(sums, others[1], others[0])
            figures = {of: Figures(counts, window.seconds) for of, counts in sums.items()}
            self._in_lanes = ((window.last, id(others)), figures)
        return self._in_lanes[1]

    def ejected(self) -> Mapping[str, Ejected]:
        """What proxies of all control planes have ejected lately, by cluster."""
        own = self.meter.ejections.lately()
        elsewhere = self.ejected_elsewhere
        return summed([*own.items(), *elsewhere.items()]) if elsewhere else own

    def gaps(self, window: Window) -> list[Gap]:
        """Gaps that reach into the window; reports tell of what was up to a slot before."""
        first, last = (window.first - 1) * SLOT, window.last * SLOT
        return [one for one in self.meter.gaps if one.start <= last and (one.end or last) >= first]


def _sum_lanes(sums: dict[tuple[str, str], list[int]], found: Iterable[Counts], window: Window) -> None:
    """Add by lane and service what was counted in the window."""
    for one in found:
        if one.last >= window.first:
            counts = sums.setdefault((one.key.lane, one.key.service), [0] * FIELDS)
            one.read(window.first, window.last, counts)


def in_lane(key: Key) -> bool:
    """Whether callers counted these requests, in a lane."""
    return bool(key.lane) and key.hop in CALLERS


def grouped(found: Iterable[Counts], by: Callable[[Key], str]) -> dict[str, list[Counts]]:
    """The series by what `by` says of their keys, sorted."""
    groups: dict[str, list[Counts]] = {}
    for one in found:
        groups.setdefault(by(one.key), []).append(one)
    return dict(sorted(groups.items()))


def one_side(found: Iterable[Counts], window: Window) -> tuple[list[Counts], str]:
    """The series of the callers, or where they counted nothing, those of the receivers; and which it is.

    Both count the same requests: those of one side only may be summed.
    """
    sides = grouped(found, lambda key: "receivers" if key.hop in RECEIVERS else "callers")
    callers = sides.get("callers", [])
    if any(one.last >= window.first for one in callers) or "receivers" not in sides:
        return callers, "callers"
    return sides["receivers"], "receivers"
