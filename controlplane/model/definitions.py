"""All definitions at one moment: an immutable value, and the changes that lead to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from controlplane.model.documents import Application, Gateway, Lane, LaneGroup, Route


class SlotRange(NamedTuple):
    """Slots `start` to `end` (exclusive) of 0-9999 on one base route belong to `lane`.

    A range of a disabled lane is reserved for it, until another lane needs it.
    """

    start: int
    end: int
    lane: str


def _empty() -> Mapping:
    return MappingProxyType({})


@dataclass(frozen=True)
class Definitions:
    """Every mapping is read-only and never changed after it was built."""

    gateways: Mapping[str, Gateway] = field(default_factory=_empty)
    routes: Mapping[tuple[str, str], Route] = field(default_factory=_empty)  # (gateway, name)
    applications: Mapping[str, Application] = field(default_factory=_empty)
    groups: Mapping[str, LaneGroup] = field(default_factory=_empty)
    lanes: Mapping[str, Lane] = field(default_factory=_empty)  # names are unique in the control plane
    slots: Mapping[tuple[str, str], tuple[SlotRange, ...]] = field(default_factory=_empty)  # sorted by start
