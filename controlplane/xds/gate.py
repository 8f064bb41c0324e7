"""What stands between a change of a collection and the streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .resource import Resource

if TYPE_CHECKING:
    from .resources import Collection


class Subscriber(Protocol):
    """What a stream subscribes to of one type."""

    @property
    def wildcard(self) -> bool: ...

    @property
    def names(self) -> frozenset[str]: ...

    @property
    def pending(self) -> frozenset[str]: ...

    @property
    def pending_all(self) -> bool: ...


class Gate(Protocol):
    """What is asked before a resource changes, and before the change is pushed: see `trial`."""

    def allows(self, collection: Collection, before: Resource | None, after: Resource | None) -> bool:
        """Whether the collection may take this change."""
        ...

    def keeps_from(self, collection: Collection, subscriber: Subscriber) -> bool:
        """Whether this subscriber has to wait for what has changed."""
        ...

    def withholds(self, collection: Collection) -> bool:
        """Whether there are subscribers that have, and use, what was before a change."""
        ...
