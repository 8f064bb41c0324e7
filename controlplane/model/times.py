"""When lanes are open: a pure function of a lane and a time.

Hours are those of the clocks in a schedule's time zone. On the days of change of summer time, a time that
clocks skip means the moment at which they skip it, and a time that they show twice means the first of the
two. So every span of hours has one beginning and one end; one that is skipped as a whole is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from controlplane.model.documents import Lane
from controlplane.model.time_fields import DAYS, Schedule, instant_of, seconds_of, zone_of

LOOK_AHEAD = 16
"""Days in which a schedule that ever closes does so: two weeks, because clocks may skip the hours of one."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Whether a lane's times let it be used, and until when that holds. Times: seconds since the epoch.

    until: when it changes, None for never. why: what closes it, as words for users; "" while it is open.
    over: it does not open again by itself.
    """

    open: bool = True
    until: float | None = None
    why: str = ""
    over: bool = False


ALWAYS = Phase()


def timed(lane: Lane) -> bool:
    """Whether the lane has times at all."""
    return bool(lane.begin or lane.until or lane.enabled_until or lane.schedule)


def end_of(lane: Lane) -> float | None:
    """When the lane's time is over, in seconds since the epoch; None for never."""
    ends = [seconds_of(one) for one in (lane.until, lane.enabled_until) if one is not None]
    return min(ends, default=None)


def counts(lane: Lane, at: float) -> bool:
    """Whether the lane's share counts in the sum of a route: it is enabled, and its time is not over.

    A lane with a schedule counts at all hours, so that it finds its share when it opens.
    """
    end = end_of(lane)
    return lane.enabled and (end is None or at < end)


def phase(lane: Lane, at: float) -> Phase:
    """Whether the lane's times let it be used `at` seconds since the epoch. Its switch is not looked at."""
    end, begin, schedule = end_of(lane), lane.begin, lane.schedule
    if end is not None and at >= end:
        return Phase(False, None, _ended(lane), over=True)
    opens = max(at, seconds_of(begin)) if begin is not None else at
    closes: float | None = None
    if schedule is not None:
        hours, closes = window_of(schedule, opens)
        opens = max(opens, hours)
    ends = [one for one in (end, closes) if one is not None]
    if opens <= at:
        return Phase(True, min(ends, default=None)) if ends else ALWAYS
    if end is not None and opens >= end:
        return Phase(False, None, f"its time is over at {instant_of(end)} before it opens", over=True)
    if begin is not None and at < seconds_of(begin):
        return Phase(False, opens, f"its time begins at {begin}")
    return Phase(False, opens, "it is outside of its schedule")


def _ended(lane: Lane) -> str:
    if lane.until is not None and seconds_of(lane.until) == end_of(lane):
        return f"its time ended at {lane.until} (until)"
    return f"it was switched on until {lane.enabled_until} only (enabled_until)"


def window_of(schedule: Schedule, at: float) -> tuple[float, float | None]:
    """The open hours that hold `at`, else the next ones: (begin, end). The end is None if there is none."""
    begin, end = 0.0, -1.0
    for one, other in _spans(schedule, at):
        if one <= end:  # the next hours begin where these end, or earlier
            end = max(end, other)
            continue
        if end > at:
            return begin, end
        begin, end = one, other
    assert end > at, "a week has open hours"
    return begin, None


def _spans(schedule: Schedule, at: float) -> Iterator[tuple[float, float]]:
    """The open hours around `at` and LOOK_AHEAD days from then, by their beginning."""
    zone = zone_of(schedule.time_zone)
    days = schedule.days or DAYS
    hours = sorted(clock_of(one) for one in schedule.spans)
    today = datetime.fromtimestamp(at, UTC).astimezone(zone).date()
    for number in range(-2, LOOK_AHEAD):
        day = today + timedelta(days=number)
        if DAYS[day.weekday()] not in days:
            continue
        for begin, end in hours:
            one = moment(zone, day, begin)
            other = moment(zone, day, end if end > begin else end + 24 * 60)
            if one < other:
                yield one, other


@lru_cache(1024)
def clock_of(hours: str) -> tuple[int, int]:
    """`09:00-17:00` in minutes of the day."""
    begin, end = (int(one[:2]) * 60 + int(one[3:]) for one in hours.split("-"))
    return begin, end


@lru_cache(8192)
def moment(zone: ZoneInfo, day: date, minutes: int) -> float:
    """The first moment at which clocks show `minutes` after midnight of `day`, or later; in seconds since the
    epoch. `minutes` may be those of the next day.
    """
    day += timedelta(days=minutes // (24 * 60))
    shown = datetime.combine(day, time(minutes // 60 % 24, minutes % 60), zone)
    before, after = shown.utcoffset(), shown.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    if after <= before:  # shown once, or twice
        return shown.timestamp()
    # Skipped: `fold` 0 and 1 give the offsets before and after the change, which lies between the two times.
    low, high = int(shown.replace(fold=1).timestamp()), int(shown.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        offset = datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset()
        low, high = (low, middle) if offset == after else (middle, high)
    return float(high)
