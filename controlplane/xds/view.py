"""The views that streams see.

Nothing here does I/O, nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from .resource import Resource
from .resources import Clock, Collection, version_of


class NotAllowed(Exception):
    """What a client asks for is not for it; the text says why, and what to do."""


class View:
    """What one node, or many, may see: per type URL an ordered tuple of collections with disjoint names.

    `clock` is that of the collections. Raises ValueError for a collection of another clock, or of another
    type than it stands under.

    `whole` are types of which a delta client gets everything that the view has, whatever it names: Envoy's
    subscription to virtual hosts is to all of its route configuration, and names only those that it lacks.
    """

    __slots__ = ("__weakref__", "clock", "collections", "whole")

    on_demand = False
    """Whether `wanted` is to be called."""

    def __init__(
        self,
        clock: Clock,
        collections: Mapping[str, Sequence[Collection]],
        whole: frozenset[str] = frozenset(),
    ) -> None:
        self.clock = clock
        self.whole = whole
        for type_url, parts in collections.items():
            for part in parts:
                if part.type_url != type_url:
                    raise ValueError(f"a collection of {part.type_url} stands under {type_url}")
                if part.clock is not clock:
                    raise ValueError(f"a collection of {type_url} has the clock of another server")
        self.collections: Mapping[str, tuple[Collection, ...]] = MappingProxyType(
            {type_url: tuple(parts) for type_url, parts in collections.items()}
        )

    def of(self, type_url: str) -> tuple[Collection, ...]:
        """The collections of one type; none for a type that the view does not have."""
        return self.collections.get(type_url, ())

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        """A client asks for `names`, or (delta) says that it has them; called before it is answered."""

    def admit(self, type_url: str, names: Set[str]) -> None:
        """A client asks for `names`. Raises NotAllowed where the stream has to end for that."""

    def follows(self, type_url: str, names: Set[str]) -> frozenset[str]:
        """What a client that took the resources `names` of ROUTE (or CLUSTER) asks for of CLUSTER (ENDPOINT).

        Only for clients that apply a resource when they have all that it refers to: an acknowledgement says
        no more than that they could read it.
        """
        return frozenset()

    def release(self) -> None:
        """The stream that had the view has ended."""

    def get(self, type_url: str, name: str) -> Resource | None:
        for collection in self.of(type_url):
            found = collection.get(name)
            if found is not None:
                return found
        return None

    def version(self, type_url: str) -> str:
        """The version of all that the view holds of one type: a hash of content, or a collection's label."""
        weight = 0
        for part in self.of(type_url):
            if part.label is not None:
                return part.label
            weight += part.weight
        return version_of(weight)
