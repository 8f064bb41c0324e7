"""Endpoints of every service: one collection for all, to which clients subscribe by name."""

from __future__ import annotations

from controlplane.snapshot.mesh import Change, resource
from controlplane.translate.clusters import assignment, endpoint_sets
from controlplane.xds.resource import ENDPOINT
from controlplane.xds.resources import Clock, Collection


class Endpoints:
    """The collection of endpoints; encodes only those that change. whole: of all services, which is published
    before this one.
    """

    def __init__(self, clock: Clock, whole: Endpoints | None = None) -> None:
        self.collection = Collection(clock, ENDPOINT)
        self._whole = None if whole is None else whole.collection

    def publish(self, change: Change) -> None:
        """Bring the endpoints up to the mesh."""
        for before, after in change.replaced:
            old = endpoint_sets(before) if before is not None else {}
            new = endpoint_sets(after) if after is not None else {}
            if after is not None:
                for name, found in new.items():
                    if old.get(name) != found:
                        known = None if self._whole is None else self._whole.get(name)
                        self.collection.put(known or resource(name, assignment(after, name, found)))
            for name in old.keys() - new.keys():
                self.collection.remove(name)
