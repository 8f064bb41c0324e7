"""What stands between a change of a collection and the streams."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol, TypeVar

from .resource import Resource

C = TypeVar("C", contravariant=True)
"""The collections, which know their gate."""


class Subscriber(Protocol):
    """What a stream subscribes to of one type."""

    @property
    def wildcard(self) -> bool: ...

    @property
    def names(self) -> Set[str]: ...


class Gate(Protocol[C]):
    """What is asked before a resource changes, and before the change is pushed: see `trial`."""

    def allows(self, collection: C, before: Resource | None, after: Resource | None) -> bool:
        """Whether the collection may take this change."""
        ...

    def keeps_from(self, collection: C, subscriber: Subscriber) -> bool:
        """Whether this subscriber has to wait for what has changed, also if it asks for it."""
        ...

    def withholds(self, collection: C) -> bool:
        """Whether there are subscribers that have, and use, what was before a change."""
        ...
