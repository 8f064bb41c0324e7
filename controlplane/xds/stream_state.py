"""One stream of discovery: the types that a client subscribes to, and the order in which they are answered.

No I/O: requests go in by `receive`, serialised responses come out of `next`, time is an argument. When
changes belong together they are pushed make before break (https://www.envoyproxy.io/docs/envoy/latest/api-
docs/xds_protocol#eventual-consistency-considerations): clusters, their endpoints, listeners, routes; what was
removed of clusters last, when the routes are acknowledged.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from .delta import DeltaSubscription
from .messages import Message
from .resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    PUSH_ORDER,
    ROUTE,
    SECRET,
    TRIABLE,
    TRIED,
    VIRTUAL_HOST,
)
from .resources import Collection
from .sotw import SotwSubscription
from .subscription import NOTHING, Sent, TooManyNames
from .view import View
from .wire import Response

_RANK = {type_url: rank for rank, type_url in enumerate(PUSH_ORDER)}
#: The types that refer to clusters: pushed after clusters, and to be acknowledged before clusters go.
_REFERRING = frozenset((EXTENSION_CONFIG, LISTENER, ROUTE, VIRTUAL_HOST))
_BREAKING = (CLUSTER, ENDPOINT)
_MOST_TYPES = 64


class TooManyTypes(Exception):
    """A client subscribes to more types than exist."""


S = TypeVar("S", DeltaSubscription, SotwSubscription)


class StreamState(Generic[S]):
    """State of one stream in one of the two variants. `removal_wait`, `warming_wait`: seconds. `names`,
    `name_bytes`: what the client may subscribe to.
    """

    __slots__ = (
        "_gate_until",
        "_hold_until",
        "_holding",
        "_most_bytes",
        "_most_names",
        "_warming",
        "removal_wait",
        "subscriptions",
        "variant",
        "view",
        "warming_wait",
    )

    def __init__(
        self,
        view: View,
        variant: type[S],
        *,
        removal_wait: float = 2.0,
        warming_wait: float = 0.5,
        names: int = 50_000,
        name_bytes: int = 8 << 20,
    ) -> None:
        self.view = view
        self.variant = variant
        self.removal_wait = removal_wait
        self.warming_wait = warming_wait
        self.subscriptions: dict[str, S] = {}
        self._most_names = names
        self._most_bytes = name_bytes
        self._hold_until: float | None = None
        self._gate_until: float | None = None
        self._holding = False  # removals, until those are acknowledged that may refer to what goes
        self._warming = NOTHING

    def receive(self, request: Message) -> Sent | None:
        """Apply a request of the stream's variant. Returns the reply that it acknowledges or rejects, if any.

        Raises TooManyTypes, TooManyNames or NotAllowed.
        """
        subscription = self.subscriptions.get(request.type_url)
        if subscription is None:
            if len(self.subscriptions) >= _MOST_TYPES:
                raise TooManyTypes(f"more than {_MOST_TYPES} types on one stream")
            subscription = self.variant(request.type_url, self.view)
            self.subscriptions[request.type_url] = subscription
            ordered = sorted(self.subscriptions.items(), key=lambda item: _RANK.get(item[0], len(_RANK)))
            self.subscriptions = dict(ordered)
            self._holding = not _REFERRING.isdisjoint(self.subscriptions)
        before = subscription.name_bytes
        answered = subscription.receive(request)
        if request.type_url == SECRET:
            self.view.admit(SECRET, subscription.names)
        if subscription.name_bytes > before:
            self._check_names()
        return answered

    def _check_names(self) -> None:
        """Raises TooManyNames."""
        every = self.subscriptions.values()
        names = max(sum(len(one.names) for one in every), sum(len(one.pending) for one in every))
        if names > self._most_names:
            raise TooManyNames(f"more than {self._most_names} names on one stream")
        if sum(one.name_bytes for one in every) > self._most_bytes:
            raise TooManyNames(f"names of more than {self._most_bytes} bytes on one stream")

    def asked(self) -> bool:
        """Whether the client waits for an answer, or an answer of the client was waited for.

        Changes alone do not count: they are pushed when the server says so, many at once.
        """
        if self._hold_until is not None or self._gate_until is not None:
            return True
        for one in self.subscriptions.values():  # noqa: SIM110 - a generator for each request costs more
            if one.pending or one.owed or one.pending_all:
                return True
        return False

    def touched(self, collection: Collection) -> bool:
        """Whether a change of that collection concerns this stream."""
        subscription = self.subscriptions.get(collection.type_url)
        if subscription is None or (collection.gate is not None and subscription.waits()):
            return False
        return subscription.dirty()

    def next(self, now: float) -> Response | None:
        """The next response to write. `now` is of the same clock as `wake_at`, in seconds. Raises Overrun."""
        gated = self._gate_until is not None and self._gated(now)
        waiting = False
        for type_url, subscription in self.subscriptions.items():
            if not subscription.dirty() or (gated and type_url == VIRTUAL_HOST):
                # A virtual host that is asked for comes with its clusters: they go first, warm.
                continue
            if waiting and type_url in _REFERRING:
                continue  # what it refers to may be among the clusters that wait
            if type_url in TRIABLE and subscription.waits():
                waiting |= type_url == CLUSTER
                # Who asks waits, too: a change on trial is neither for whoever connects in time to reject it,
                # nor for an Envoy that starts and would have nothing if it rejects it.
                continue
            response = subscription.compose(
                hold=self._holding and type_url in _BREAKING,
                asked_only=gated and type_url in _REFERRING,
                now=now,
            )
            if type_url == CLUSTER:
                self._clusters_pushed(subscription, now)
                gated = self._gated(now)
            if subscription.held and self._hold_until is None:
                self._hold_until = now + self.removal_wait
            if response is not None:
                return response
        return None if self._hold_until is None else self._release(now, gated)

    def wake_at(self) -> float | None:
        """When `next` should be called again even if nothing happens."""
        if self._hold_until is None and self._gate_until is None:
            return None
        times = [at for at in (self._hold_until, self._gate_until) if at is not None and at != math.inf]
        return min(times) if times else None

    def settled(self, mark: int) -> bool:
        """Whether the client had and answered everything that its view held at `mark`."""
        settled = all(subscription.settled(mark) for subscription in self.subscriptions.values())
        return settled and self._followed(ROUTE, CLUSTER) and self._followed(CLUSTER, ENDPOINT)

    def _followed(self, type_url: str, next_type: str) -> bool:
        first = self.subscriptions.get(type_url)
        if first is None or first.nack is not None or first.withheld():
            return True
        wanted = self.view.follows(type_url, first.names)
        if not wanted:
            return True
        second = self.subscriptions.get(next_type)
        return second is not None and wanted <= second.names and not second.pending and not second.outstanding

    def _clusters_pushed(self, clusters: S, now: float) -> None:
        """Envoy warms each cluster that is new or changed, and waits for its endpoints to be sent again."""
        pushed, clusters.pushed = clusters.pushed, NOTHING
        endpoints = self.subscriptions.get(ENDPOINT)
        if not pushed or (endpoints is None and not self.view.on_demand):
            return
        found = (self.view.get(CLUSTER, name) for name in pushed)
        names = frozenset(cluster.endpoints for cluster in found if cluster is not None)
        known = NOTHING
        if endpoints is not None:
            endpoints.resend(names)
            known = endpoints.names
        if (endpoints is not None and endpoints.wildcard) or not clusters.wildcard:
            return
        # What refers to a new cluster waits until the client asked for the cluster's endpoints and got them:
        # a request that is routed to a warming cluster is answered with 503.
        fresh = frozenset(name for name in names - known if self.view.get(ENDPOINT, name) is not None)
        if fresh:
            self._warming = self._warming | fresh
            self._gate_until = now + self.warming_wait

    def _gated(self, now: float) -> bool:
        if self._gate_until is None:
            return False
        clusters, endpoints = self.subscriptions[CLUSTER], self.subscriptions.get(ENDPOINT)
        waiting = self._warming if endpoints is None else self._warming - endpoints.names
        if waiting:
            waiting = frozenset(name for name in waiting if self.view.get(ENDPOINT, name) is not None)
        unsent = endpoints is not None and endpoints.dirty()
        if (waiting or unsent) and now < self._gate_until and clusters.nack is None:
            return True
        self._gate_until, self._warming = None, NOTHING
        return False

    def _release(self, now: float, gated: bool) -> Response | None:
        """Removals that were held back, once the resources that may use them are acknowledged or the wait is
        over.
        """
        if self._hold_until is None:
            return None
        if any(self.subscriptions[kind].withheld() for kind in TRIED if kind in self.subscriptions):
            # The last good state still refers to the removed resources, so the wait has not begun.
            self._hold_until = math.inf
            return None
        if self._hold_until == math.inf:
            self._hold_until = now + self.removal_wait
        if now < self._hold_until:
            referring = [self.subscriptions[kind] for kind in _REFERRING if kind in self.subscriptions]
            if gated or any(subscription.outstanding for subscription in referring):
                return None
        for kind in _BREAKING:
            subscription = self.subscriptions.get(kind)
            if subscription is not None and subscription.held:
                response = subscription.release(now)
                if response is not None:
                    return response
        self._hold_until = None
        return None
