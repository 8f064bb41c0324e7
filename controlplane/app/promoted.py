"""Promoted instances are base: they are kept as base is when their source loses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controlplane.model.definitions import Definitions
from controlplane.plan.base import Base, promoted_base
from controlplane.plan.planner import Plan

Tags = Mapping[str, frozenset[str]]
"""By service, the tags whose instances are base."""


class PromotedInstances:
    """Tells `keep` which instances are promoted, whenever that changes."""

    def __init__(self, keep: Callable[[Tags], None]) -> None:
        self._keep = keep
        self._held: Tags = {}
        self._based: tuple[Definitions, Base] | None = None

    def hold(self, definitions: Definitions, plan: Plan) -> None:
        """Called with each plan that is published, and the definitions that it was made of."""
        if self._based is None or self._based[0] is not definitions:
            self._based = (definitions, promoted_base(definitions))
        tags = self._based[1].tags
        if not tags and not self._held:
            return
        found = {
            service: frozenset(tags[a] for a in one.applications if a in tags)
            for service, one in plan.services.items()
        }
        promoted = {service: held for service, held in found.items() if held}
        if promoted != self._held:
            self._held = promoted
            self._keep(promoted)
