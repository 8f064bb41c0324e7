"""What clients that come back say they have, and what it takes to bring them up to date.

When a server restarts, a fleet comes back at once with the same names and versions, each client in an order
of its own. Making sets of a thousand strings, and comparing them with what there is, is most of what a client
then costs; that a request says what another said takes a third of it. So what was worked out for the last few
requests is kept.
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


Asked = tuple[frozenset[str], frozenset[bytes]]
"""Names that are subscribed to, encoded entries of `initial_resource_versions`."""

#: By type and size: requests with nothing else, and their names.
_named: Recent[list[tuple[Message, frozenset[str]]]] = Recent()


def names(request: Message) -> frozenset[str]:
    """The names of a state-of-the-world request, which says all of them with each acknowledgement.

    Version, nonce and node are taken out of it. One that rejects something is left as it is.
    """
    count = len(request.resource_names)
    if not _FEWEST <= count <= _MOST or request.HasField("error_detail"):
        return frozenset(request.resource_names[:])
    for field in ("version_info", "response_nonce", "node"):
        request.ClearField(field)
    alike = request.type_url, count
    known = _named.get(alike)
    if known is None:
        known = list[tuple[Message, frozenset[str]]]()
        _named.put(alike, known)
    for other, said in known:
        if other == request:
            return said
    said = frozenset(request.resource_names[:])
    known.insert(0, (request, said))
    del known[2:]
    return said


#: By type and size: requests without their versions, and what was made of them.
_requests: Recent[list[tuple[Message, Asked]]] = Recent()


def asked(request: Message) -> Asked:
    """What a first request of a type says; its versions are taken out of it.

    It names no node any more: that would make it one of its kind. Versions that are said twice count twice,
    so a client that does that may be taken for one that has more; it could say that as well.
    """
    if isinstance(request, DeltaRequest):  # one that was not read from the wire
        request = OpaqueDeltaRequest.FromString(request.SerializeToString())
    # A slice of a repeated field is a list, of which a set is made sooner.
    entries = request.initial_resource_versions[:]
    request.ClearField("initial_resource_versions")
    if not _FEWEST <= len(entries) <= _MOST:
        return frozenset(request.resource_names_subscribe[:]), frozenset(entries)
    alike = request.type_url, len(request.resource_names_subscribe), len(entries)
    known = _requests.get(alike)
    if known is None:
        known = list[tuple[Message, Asked]]()
        _requests.put(alike, known)
    for other, said in known:
        if said[1].issuperset(entries) and other == request:
            return said
    said = frozenset(request.resource_names_subscribe[:]), frozenset(entries)
    if len(said[1]) == len(entries):
        known.insert(0, (request, said))
        del known[2:]
    return said
