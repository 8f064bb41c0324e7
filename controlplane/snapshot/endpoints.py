"""Endpoints of every service: one collection for all, to which clients subscribe by name."""

from __future__ import annotations

from controlplane.snapshot.mesh import Change, resource
from controlplane.translate.clusters import assignment, endpoint_sets
from controlplane.xds.resource import ENDPOINT
from controlplane.xds.resources import Clock, Collection


class Endpoints:
    """The collection of endpoints; encodes only those that change."""

    def __init__(self, clock: Clock) -> None:
        self.collection = Collection(clock, ENDPOINT)

    def publish(self, change: Change) -> None:
        """Bring the endpoints up to the mesh."""
        for before, after in change.replaced:
            old = endpoint_sets(before) if before is not None else {}
            new = endpoint_sets(after) if after is not None else {}
            if after is not None:
                for name, found in new.items():
                    if old.get(name) != found:
                        self.collection.put(resource(name, assignment(after, name, found)))
            for name in old.keys() - new.keys():
                self.collection.remove(name)
