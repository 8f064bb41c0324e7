"""Whether what Nacos has can be what it had: an empty group may be a store that was lost. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.store.interface import Served, Stored
from controlplane.store.nacos import items
from controlplane.store.nacos.items import INDEX

REMEDY = f"restore the item {INDEX} from its history in Nacos, or run `laneway store recover --store nacos`"


def lost(names: Iterable[str], served: Served | None) -> str:
    """Why there should be an index where there is none, or "". `names` are those of the items there."""
    if served is not None and served.revision:
        was = f"revision {served.revision} was served" if served.stored else "a snapshot is there"
        return f"there is no item {INDEX} any more, although {was} ({served.path}); {REMEDY}"
    # Items of a first revision may be of an attempt that was killed, those of a second one are not.
    numbers = [items.number_of(name.rpartition(":")[2]) for name in names if items.is_ours(name)]
    last = max(numbers, default=0)
    if last > 1:
        return f"there is no item {INDEX}, although there are items of revision {last}; {REMEDY}"
    return ""


def contradiction(now: Stored, served: Served | None) -> str:
    """Why the index, of which `now` was read, cannot be of those that were served, or "".

    An older one can: whoever restores Nacos from a backup restarts the control planes.
    """
    if served is None or served.stored is None or now.revision != served.revision:
        return ""
    if now.definitions == served.stored.definitions:
        return ""
    return (
        f"the item {INDEX} has other definitions at revision {now.revision} than were served "
        f"({served.path}); {REMEDY}"
    )
