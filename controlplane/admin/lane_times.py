"""What answers say of the times of lanes."""

from __future__ import annotations

from controlplane.admin import answers
from controlplane.admin.control import ControlPlane
from controlplane.model.documents import Lane
from controlplane.model.time_fields import instant_of
from controlplane.model.times import phase, timed

MOST = 100
"""Resting lanes that one answer lists."""


def told(lane: Lane, at: float) -> answers.Times | None:
    """The state of the lane's times `at` seconds since the epoch; None for a lane without any."""
    if not timed(lane):
        return None
    now = phase(lane, at)
    zone = lane.schedule.time_zone if lane.schedule is not None else "UTC"
    until = instant_of(now.until, zone) if now.until is not None else None
    return answers.Times(
        open=now.open,
        reason=now.why,
        opens=None if now.open else until,
        closes=until if now.open else None,
    )


def resting(
    control: ControlPlane, gateway: str, route: str | None, at: float | None = None
) -> list[answers.Resting]:
    """The enabled lanes of a gateway's route that their times close `at` seconds since the epoch, now unless
    said; by priority and name.
    """
    definitions, at = control.store.current.definitions, control.now() if at is None else at
    found: list[answers.Resting] = []
    for lane in sorted(definitions.lanes.values(), key=lambda one: (one.priority, one.name)):
        on = route is not None and (lane.routes is None or route in lane.routes)
        if not on or not lane.enabled or definitions.groups[lane.group].gateway != gateway:
            continue
        times = told(lane, at)
        if times is not None and not times.open:
            found.append(answers.Resting(lane=lane.name, reason=times.reason, opens=times.opens))
    return found[:MOST]
