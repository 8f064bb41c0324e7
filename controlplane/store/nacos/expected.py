"""Whether the items in Nacos can be those of before: a group without an index may be a lost store. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.store.interface import Served, Stored
from controlplane.store.nacos import items
from controlplane.store.nacos.items import INDEX

REMEDY = f"restore the item {INDEX} from its history in Nacos, or run `laneway store recover --store nacos`"


def lost(names: Iterable[str], served: Served | None) -> str:
    """Why a missing index means a lost store, or "" if the store may be new.

    `names` are those of the items in the group, `served` is the snapshot of the store.
    """
    if served is not None and served.revision:
        was = f"revision {served.revision} was served" if served.stored else "there is a snapshot"
        return f"the item {INDEX} is missing, although {was} ({served.path}); {REMEDY}"
    # Items of revision 1 may be left from a killed attempt; those of revision 2 need an index of revision 1.
    numbers = [items.number_of(name.rpartition(":")[2]) for name in names if items.is_ours(name)]
    last = max(numbers, default=0)
    if last > 1:
        return f"the item {INDEX} is missing, although there are items of revision {last}; {REMEDY}"
    return ""


def contradiction(now: Stored, served: Served | None) -> str:
    """Why the definitions `now` cannot be those of the snapshot `served`, or "".

    An older revision is no contradiction: after Nacos was restored from a backup, control planes are
    restarted.
    """
    if served is None or served.stored is None or now.revision != served.revision:
        return ""
    if now.definitions == served.stored.definitions:
        return ""
    return (
        f"the item {INDEX} has other definitions at revision {now.revision} than the snapshot "
        f"({served.path}); {REMEDY}"
    )
