"""What holds up the steps of a release that lead forward: freezes, and the windows of its own."""

from __future__ import annotations

from controlplane.model.definitions import Definitions
from controlplane.model.freezes import Freeze
from controlplane.model.releases import Release
from controlplane.model.time_fields import instant_of
from controlplane.model.times import window_of


def closed(definitions: Definitions, release: Release, at: float) -> str:
    """Why no step may be taken now, as words for users; empty if one may. at: seconds since the epoch."""
    freezes = definitions.table("Freeze")
    for key in sorted(freezes):
        freeze = freezes[key]
        if isinstance(freeze, Freeze) and freeze.holds(release.group, at):
            reason = f": {freeze.reason}" if freeze.reason else ""
            end = f" until {freeze.until}" if freeze.until else ""
            return f"freeze {freeze.name} holds it up{end}{reason}"
    if release.windows is None:
        return ""
    opens: list[tuple[float, str]] = []
    for schedule in release.windows:
        begin, _ = window_of(schedule, at)
        if begin <= at:
            return ""
        opens.append((begin, schedule.time_zone))
    begin, zone = min(opens)
    return f"it is outside of its windows; the next one begins at {instant_of(begin, zone)}"
