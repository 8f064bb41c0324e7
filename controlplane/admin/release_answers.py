"""What REST answers about a release that is under way."""

from __future__ import annotations

from typing import Literal

from controlplane.admin.answers import Answer
from controlplane.model.releases import Finding, Release


class ReleaseLook(Answer):
    """What the control plane found when it looked last, and what followed."""

    at: str
    did: Literal["hold", "begin", "forward", "wait", "finish", "abort", "stop"]
    why: str
    findings: list[Finding]


class ReleaseEvent(Answer):
    """A decision: what a release did, and what its checks and hooks had found."""

    name: str
    at: str
    step: int
    what: str
    findings: list[Finding]


class Preflight(Answer):
    """Whether the lane of a release can take traffic: what stands in the way, and what is worth knowing."""

    wrong: list[str]
    notes: list[str]


class ReleaseStatus(Answer):
    """The release with its decisions, and the last look at it, null while it is not under way."""

    release: Release
    look: ReleaseLook | None
    preflight: Preflight


RELEASES = [ReleaseEvent, ReleaseLook, Preflight, ReleaseStatus]
