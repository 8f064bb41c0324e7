"""Questions to the series: sums and rates of a window of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.traffic import series as fields
from controlplane.traffic.meter import Gap, Meter
from controlplane.traffic.series import (
    COARSE,
    FIELDS,
    FIRST_BUCKET,
    HISTORY,
    RECENT,
    SLOT,
    Key,
    Series,
    quantile,
)
from controlplane.traffic.table import Table

Wanted = Callable[[Key], bool]
CALLERS = frozenset({"edge", "outbound"})
RECEIVERS = frozenset({"inbound"})
MINUTE = 60


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
class Part:
    """A sum over a window, and over each of its steps."""

    total: Figures
    steps: Sequence[Figures]


class Traffic:
    """What the control plane knows of the traffic of its proxies."""

    def __init__(self, table: Table, meter: Meter) -> None:
        self.table = table
        self.meter = meter
        self._in_lanes: tuple[int, Mapping[tuple[str, str], Figures]] = (-1, {})

    def window(self, seconds: float, step: float) -> Window:
        return Window.until(self.meter.clock(), seconds, step)

    def select(self, wanted: Wanted) -> list[Series]:
        return self.table.where(wanted)

    def figures(self, found: Iterable[Series], window: Window) -> Figures:
        """The sum of these series over the whole window."""
        counts = [0] * FIELDS
        for one in found:
            one.read(window.first, window.last, counts)
        return Figures(counts, window.seconds)

    def part(self, found: Sequence[Series], window: Window) -> Part:
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
        """What callers counted in the last minute, by lane and service. Made anew for each slot."""
        window = self.window(MINUTE, MINUTE)
        if self._in_lanes[0] != window.last:
            lately = self.select(lambda key: bool(key.lane) and key.hop in CALLERS)
            named: dict[tuple[str, str], list[Series]] = {}
            for one in lately:
                if one.last >= window.first:
                    named.setdefault((one.key.lane, one.key.service), []).append(one)
            self._in_lanes = (window.last, {of: self.figures(some, window) for of, some in named.items()})
        return self._in_lanes[1]

    def gaps(self, window: Window) -> list[Gap]:
        """Gaps that reach into the window; reports tell of what was up to a slot before."""
        first, last = (window.first - 1) * SLOT, window.last * SLOT
        return [one for one in self.meter.gaps if one.start <= last and (one.end or last) >= first]


def grouped(found: Iterable[Series], by: Callable[[Key], str]) -> dict[str, list[Series]]:
    """The series by what `by` says of their keys, sorted."""
    groups: dict[str, list[Series]] = {}
    for one in found:
        groups.setdefault(by(one.key), []).append(one)
    return dict(sorted(groups.items()))


def one_side(found: Iterable[Series], window: Window) -> tuple[list[Series], str]:
    """The series of the callers, or where they counted nothing, those of the receivers; and which it is.

    Both count the same requests: those of one side only may be summed.
    """
    sides = grouped(found, lambda key: "receivers" if key.hop in RECEIVERS else "callers")
    callers = sides.get("callers", [])
    if any(one.last >= window.first for one in callers) or "receivers" not in sides:
        return callers, "callers"
    return sides["receivers"], "receivers"
