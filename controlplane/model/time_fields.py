"""The fields of documents that are about time: instants, days, hours, time zones."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from controlplane.model.document import Document
from controlplane.model.fields import DURATION, check_duration, refuse, seconds
from controlplane.model.mistakes import nearest

INSTANT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
HOURS = r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
ZONE = r"^[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,2}$"
LONGEST_TTL = 8760 * 3600.0
YEARS = range(1970, 3000)
WHOLE_DAY = "00:00-24:00"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MACHINES = frozenset({"localtime", "posixrules", "Factory"})
"""Files of the system's data that mean another zone on another machine."""


def _instant(value: str) -> str:
    example = "write date, time and offset: 2026-12-01T09:00:00+01:00 or 2026-12-01T08:00:00Z"
    if re.fullmatch(INSTANT[1:-1], value) is None:
        refuse("is not a time as RFC 3339 defines it", example)
    try:
        at = datetime.fromisoformat(value.upper())
    except ValueError as error:
        refuse(f"is not a time: {error}", example)
    if at.year not in YEARS:
        refuse("is not in the years 1970 to 2999", example)
    return value


@lru_cache(4096)
def seconds_of(instant: str) -> float:
    """Seconds since the epoch of a checked instant such as `2026-12-01T08:00:00Z`."""
    return datetime.fromisoformat(instant.upper()).timestamp()


def instant_of(seconds: float, zone: str = "UTC") -> str:
    """Seconds since the epoch as a time of RFC 3339 in the time zone `zone`, without fractions."""
    at = datetime.fromtimestamp(seconds, UTC).astimezone(zone_of(zone))
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


Instant = Annotated[
    str,
    AfterValidator(_instant),
    Field(json_schema_extra={"pattern": INSTANT, "examples": ["2026-12-01T09:00:00+01:00"]}),
]


def _ttl(value: str) -> str:
    check_duration(value)
    if not 1 <= seconds(value) <= LONGEST_TTL:
        refuse("is not between 1s and 8760h", "give a time such as 30m, 2h or 72h")
    return value


Ttl = Annotated[str, AfterValidator(_ttl), Field(json_schema_extra={"pattern": DURATION})]


@lru_cache(1024)
def zone_of(name: str) -> ZoneInfo:
    """The time zone `name`: of the system's data, else of the package tzdata.

    Raises LookupError where neither has it.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise LookupError(name) from error


def _zone(value: str) -> str:
    remedy = "write a name of the IANA database, such as Europe/Berlin, or UTC"
    if re.fullmatch(ZONE[1:-1], value) is None or value in MACHINES:
        refuse("is not the name of a time zone", remedy)
    try:
        zone_of(value)
    except LookupError:
        near = nearest(value, available_timezones() - MACHINES)
        refuse("is not a known time zone", f"did you mean {near}?" if near else remedy)
    return value


def _hours(value: str) -> str:
    example = 'write "09:00-17:00", or "22:00-06:00" for hours that end on the next day'
    if re.fullmatch(HOURS[1:-1], value) is None:
        refuse("is not a span of hours", example)
    begin, end = value.split("-")
    if begin == end:
        refuse("is empty", f'write "{WHOLE_DAY}" for the whole day')
    return value


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Span = Annotated[str, AfterValidator(_hours), Field(json_schema_extra={"pattern": HOURS})]
Zone = Annotated[str, AfterValidator(_zone), Field(json_schema_extra={"pattern": ZONE})]
Spans = Annotated[
    Annotated[Span, Tag("text")]
    | Annotated[tuple[Span, ...], Field(min_length=1, max_length=24), Tag("list")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "list"),
]


class Schedule(Document):
    """The hours of the week in which a lane is open, by the clocks of `time_zone`.

    Hours belong to the day on which they begin. Without `days` they hold on every day; without `hours` the
    days are open as a whole.
    """

    days: Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)] | None = None
    hours: Spans | None = None
    time_zone: Zone

    @field_validator("days")
    @classmethod
    def _distinct(cls, days: tuple[Day, ...] | None) -> tuple[Day, ...] | None:
        for index, day in enumerate(days or ()):
            if day in (days or ())[:index]:
                refuse("is given twice", "leave one out", index)
        return days

    @property
    def spans(self) -> tuple[str, ...]:
        """The open hours of a day, as `09:00-17:00`."""
        if self.hours is None:
            return (WHOLE_DAY,)
        return (self.hours,) if isinstance(self.hours, str) else self.hours
