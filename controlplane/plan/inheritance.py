"""Which lane a call without any lane takes: the lane that the tag of the calling instance means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.plan.base import Base
from controlplane.plan.hours import ALWAYS, Hours
from controlplane.plan.lanes import LaneMeaning

NOTHING_PROMOTED = Base()
SHOWN = 5
"""Names that one reason lists."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """`lane` is None where such a call is base; `reason` says why, where a lane has the tag.

    ended: a lane would be inherited if it were the only one with its tag.
    """

    lane: LaneMeaning | None = None
    reason: str = ""
    ended: bool = False


def inherited(
    lanes: Iterable[LaneMeaning], application: str, tag: str | None, base: Base = NOTHING_PROMOTED
) -> Inheritance:
    """What becomes of a call without a lane from an instance of `application` with this tag.

    Several lanes may have the tag. If a call would take the same way in all of them at every hop, it does not
    matter which is taken, and the first by name is; if not, the call is base. It is base, too, where the tag
    is promoted in the application: its instances are base.
    """
    if tag is not None and base.tags.get(application) == tag:
        return Inheritance(None, f"tag {tag} is promoted: its instances are base")
    claims = sorted(
        (x for x in lanes if x.tag == tag and application in x.applications), key=lambda x: x.name
    )
    if tag is None or not claims:
        return Inheritance()
    unwilling = next((lane for lane in claims if not lane.inherit_tag), None)
    if unwilling is not None:
        ended = any(lane.inherit_tag for lane in claims)
        return Inheritance(None, f"group {unwilling.group} says inherit_tag: false", ended)
    first = claims[0]
    other = next((lane for lane in claims if not lane.same_way(first)), None)
    if other is None:
        return Inheritance(
            first, f"the only lane with tag {tag}" if len(claims) == 1 else _alike(claims, tag)
        )
    reason = f"{_names(claims)} have tag {tag}, and {_difference(first, other)}"
    return Inheritance(None, reason, ended=True)


def ended_inheritance(lanes: Mapping[str, LaneMeaning], hours: Hours = ALWAYS) -> dict[str, list[str]]:
    """By lane: why calls without a lane from its own instances are base, where a second lane is the cause,
    which is open at the same time.
    """
    by_tag: dict[str, list[LaneMeaning]] = {}
    for lane in lanes.values():
        by_tag.setdefault(lane.tag, []).append(lane)
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for tag, same in by_tag.items():
        if all(lane.same_way(same[0]) and lane.inherit_tag for lane in same):
            continue
        members: dict[str, list[LaneMeaning]] = {}
        for lane in same:
            for application in lane.applications:
                members.setdefault(application, []).append(lane)
        for application, claims in sorted(members.items()):
            whole = inherited(claims, application, tag)
            for lane in (claim for claim in claims if whole.ended and claim.inherit_tag):
                beside, outcome = claims, whole
                if lane.name in hours.lanes:
                    beside = [one for one in claims if hours.first(lane.name, one.name) is not None]
                    outcome = inherited(beside, application, tag)
                if outcome.ended:
                    said = _span(lane, beside, hours) if hours.lanes else "", outcome.reason
                    found.setdefault(lane.name, {}).setdefault(said, []).append(application)
    return {
        name: [
            f"{span}calls without a lane from instances of {_some(applications)} with its tag are base: {why}"
            for (span, why), applications in said.items()
        ]
        for name, said in found.items()
    }


def _span(lane: LaneMeaning, beside: list[LaneMeaning], hours: Hours) -> str:
    """When one of the lanes is open with `lane` that ends its inheritance, as words; nothing for now."""
    others = [one.name for one in beside if not (one.same_way(lane) and one.inherit_tag)]
    moments = [(at, name) for name in others if (at := hours.first(lane.name, name)) is not None]
    begin, other = min(moments, default=(hours.at, lane.name))
    return hours.span(begin, (lane.name, other)) if begin > hours.at else ""


def _alike(claims: list[LaneMeaning], tag: str) -> str:
    return f"the first by name of {_names(claims)}, which have tag {tag} and take the same way"


def _names(claims: list[LaneMeaning]) -> str:
    return f"lanes {_some([lane.name for lane in claims])}"


def _difference(one: LaneMeaning, other: LaneMeaning) -> str:
    """How two lanes with one tag differ."""
    if one.applications != other.applications:
        only = sorted(one.applications ^ other.applications)
        return f"only one of groups {one.group} and {other.group} has {_some(only)}"
    return f"{one.name} and {other.name} differ in the fallback of {_some(sorted(one.strict ^ other.strict))}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
