"""What a release looks at: the traffic of its lane, and of base, by service."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane
from controlplane.model.fields import seconds
from controlplane.model.releases import Progress
from controlplane.release.checks import Sample
from controlplane.traffic.figures import Traffic, grouped, one_side
from controlplane.traffic.series import SLOT

LEAST = 2 * SLOT
"""Seconds of a step that have to be over before anything is judged: reports come that late."""


def samples(
    traffic: Traffic, definitions: Definitions, lane: Lane, window: str, progress: Progress, now: float
) -> Mapping[str, Sample]:
    """By service: the requests of a check's `window` that came in this step. now: seconds since the epoch."""
    in_step = now - progress.since
    if in_step < LEAST:
        return {}
    length = min(seconds(window), in_step)
    within = traffic.window(length, length)
    applications = frozenset(definitions.groups[lane.group].applications)
    found, _ = one_side(
        traffic.select(lambda key: key.application in applications and key.lane in (lane.name, "")), within
    )
    return {
        service: Sample(
            lane=traffic.figures([one for one in some if one.key.lane], within),
            base=traffic.figures([one for one in some if not one.key.lane], within),
        )
        for service, some in grouped(found, lambda key: key.service).items()
    }
