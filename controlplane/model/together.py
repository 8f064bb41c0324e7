"""When several lanes are open at the same moment, and whether one is open whenever another is.

Schedules repeat every week by the clocks of their time zones. Those of one zone are compared by the minutes
of a week: the moments that clocks show are in the order of the minutes, also on the days on which clocks
change. The clocks of several zones are changed on different days, so more than a year of them is looked at.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import cast

from controlplane.model.documents import Lane
from controlplane.model.time_fields import DAYS, Schedule, seconds_of
from controlplane.model.times import clock_of, end_of, window_of

_DAY = 24 * 60
_WEEK = 7 * _DAY
_ONE_ZONE = 22 * _DAY * 60.0
_ZONES = 400 * _DAY * 60.0
"""Seconds in which schedules of one zone, or of several, are open together if they ever are."""


def together(lanes: Sequence[Lane], at: float) -> float | None:
    """The first moment from `at` on at which the times of all these lanes let them be used; None if there is
    none. In seconds since the epoch. Their switches are not looked at.
    """
    begin = max([at, *(seconds_of(one.begin) for one in lanes if one.begin is not None)])
    end = min((end for one in lanes if (end := end_of(one)) is not None), default=None)
    schedules = tuple(one.schedule for one in lanes if one.schedule is not None)
    found = _first(cast("Hashable", schedules), begin) if schedules else begin
    return found if found is not None and (end is None or found < end) else None


def covers(one: Lane, other: Lane, at: float) -> bool:
    """Whether `one` is open whenever `other` is, from `at` on. False, too, where that is not plain."""
    if one.begin is not None:
        begin = at if other.begin is None else max(at, seconds_of(other.begin))
        if seconds_of(one.begin) > begin:
            return False
    end, last = end_of(one), end_of(other)
    if end is not None and (last is None or end < last):
        return False
    if one.schedule is None or one.schedule == other.schedule:
        return True
    if other.schedule is None or one.schedule.time_zone != other.schedule.time_zone:
        return False
    return not minutes(other.schedule) & ~minutes(one.schedule)


@lru_cache(4096)
def _first(of: Hashable, at: float) -> float | None:
    """The first moment from `at` on at which all of these schedules are open; None if there is none."""
    schedules = cast("tuple[Schedule, ...]", of)
    one_zone = len({one.time_zone for one in schedules}) == 1
    shared = -1
    for one in schedules:
        shared &= minutes(one)
    if one_zone and not shared:
        return None
    now, limit = at, at + (_ONE_ZONE if one_zone else _ZONES)
    while now < limit:
        opens = max(window_of(one, now)[0] for one in schedules)
        if opens <= now:
            return now
        now = opens
    return None


def minutes(schedule: Schedule) -> int:
    """The minutes of a week, from Monday on, in which it is open: one bit for each."""
    return _minutes(cast("Hashable", schedule))


@lru_cache(1024)
def _minutes(of: Hashable) -> int:
    schedule, found = cast("Schedule", of), 0
    for number, day in enumerate(DAYS):
        if schedule.days is not None and day not in schedule.days:
            continue
        for span in schedule.spans:
            begin, end = clock_of(span)
            length = (end if end > begin else end + _DAY) - begin
            found |= ((1 << length) - 1) << (number * _DAY + begin)
    return (found | found >> _WEEK) & ((1 << _WEEK) - 1)
