"""Caches for clients that reconnect: what they say they have, and what they lack.

When a server restarts, a fleet reconnects at once with the same names and versions, each client in its own
order. Most of the cost of a client is then making sets of a thousand strings and comparing them with the
collections; recognising that a request equals an earlier one takes a third of that. So the results of the
last few requests are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from .messages import DeltaRequest, Message, OpaqueDeltaRequest

_FEWEST = 32
"""Versions from which on it is worth while to look for an equal request."""
_MOST = 20_000
"""Versions up to which a request is kept."""
_KEPT = 8

V = TypeVar("V")


class Recent(Generic[V]):
    """The values that were used last, by key."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, which is then the last to go."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value; the one that was not used for longest goes."""
        self._values[key] = value
        if len(self._values) > _KEPT:
            self._values.popitem(last=False)


class Said(Generic[V]):
    """Requests that are alike in type and size, and what was made of them."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: Recent[list[tuple[Message, V]]] = Recent()

    def alike(self, *key: Hashable) -> list[tuple[Message, V]]:
        """The last two of that type and size; `keep` adds to it."""
        known = self._requests.get(key)
        if known is None:
            known = list[tuple[Message, V]]()
            self._requests.put(key, known)
        return known


def keep(known: list[tuple[Message, V]], request: Message, said: V) -> None:
    """Add a request in front; the older of two goes."""
    known.insert(0, (request, said))
    del known[2:]


Asked = tuple[frozenset[str], frozenset[bytes]]
"""Subscribed names, and encoded entries of `initial_resource_versions`."""

_named: Said[frozenset[str]] = Said()  # requests with names and nothing else


def names(request: Message) -> frozenset[str]:
    """The names of a state-of-the-world request, which says all of them with each acknowledgement.

    Version, nonce and node are taken out of it. One that rejects something is left as it is.
    """
    count = len(request.resource_names)
    if not _FEWEST <= count <= _MOST or request.HasField("error_detail"):
        return frozenset(request.resource_names[:])
    for field in ("version_info", "response_nonce", "node"):
        request.ClearField(field)
    known = _named.alike(request.type_url, count)
    for other, said in known:
        if other == request:
            return said
    said = frozenset(request.resource_names[:])
    keep(known, request, said)
    return said


_returned: Said[Asked] = Said()  # requests without their versions


def asked(request: Message) -> Asked:
    """What a first request of a type says; its versions are taken out of it.

    The node was taken out before, or no two requests would be equal. A version that is given twice counts
    twice: such a client may be taken for one that has more resources, which it could also claim outright.
    """
    if isinstance(request, DeltaRequest):  # one that was not read from the wire
        request = OpaqueDeltaRequest.FromString(request.SerializeToString())
    # A slice of a repeated field is a list, of which a set is made sooner.
    entries = request.initial_resource_versions[:]
    request.ClearField("initial_resource_versions")
    if not _FEWEST <= len(entries) <= _MOST:
        return frozenset(request.resource_names_subscribe[:]), frozenset(entries)
    known = _returned.alike(request.type_url, len(request.resource_names_subscribe), len(entries))
    for other, said in known:
        if said[1].issuperset(entries) and other == request:
            return said
    said = frozenset(request.resource_names_subscribe[:]), frozenset(entries)
    if len(said[1]) == len(entries):
        keep(known, request, said)
    return said
