"""Bounds on what one client of the xDS server may cost, and on the texts that are kept of it."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

_MOST_CLIENTS = 10_000
"""Clients whose tokens are remembered; those that came last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A stream that goes beyond one of these ends with a status that names it. Bytes, seconds."""

    node_bytes: int = 256 << 10
    """Largest Node message in a first request; an Envoy's has some 40 KiB, mostly its list of extensions."""
    streams: int = 20_000
    """Open streams of all nodes."""
    streams_per_node: int = 200
    """Open streams of one node id of one client; an Envoy has one, or one for each service that it asks."""
    streams_per_client: int = 10_000
    """Open streams of one gateway or application, or of one address where no certificate says who it is."""
    stream_rate: float = 2_000.0
    """New streams a second; 0 for no limit."""
    stream_burst: int = 10_000
    """New streams at once, for a fleet that reconnects."""
    stream_rate_per_client: float = 1_000.0
    """New streams a second of one gateway, application or address; 0 for no limit."""
    stream_burst_per_client: int = 8_000
    """The same at once."""
    first_request: float = 15.0
    """Longest time until an opened stream sends its first request."""
    names: int = 50_000
    """Most names that a stream subscribes to, of all types together."""
    name_bytes: int = 8 << 20
    """Most bytes of these names together."""
    waiting_bytes: int = 64 << 20
    """Most bytes of first requests, of all streams that wait until the server is ready for their nodes."""
    status_bytes: int = 16 << 20
    """Largest answer of client status."""


class TokenBucket:
    """At most `burst` at once and `rate` a second over time. A rate of 0 admits everything."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = 0.0

    def admit(self, now: float) -> bool:
        """Take a token if there is one. now: seconds of a monotonic clock."""
        if self._rate <= 0:
            return True
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class TokenBuckets:
    """A bucket for each client, full for one that is seen for the first time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def admit(self, client: str, now: float) -> bool:
        """Take a token of this client, if there is one."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > _MOST_CLIENTS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
        return bucket.admit(now)


LONGEST = 1_000
"""Characters of a client's text that are kept."""
LONGEST_ID = 512
"""Bytes of a node id, and of a type URL."""


def shown(text: str, longest: int = LONGEST) -> str:
    """A text with its control characters escaped; a long text is cut, and its length is added."""
    kept = text[:longest]
    if not kept.isprintable():
        kept = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)
    return kept if len(text) <= longest else f"{kept}… (cut; it has {len(text)} characters)"


_OF_KEYS = re.compile(r"-----BEGIN|[A-Za-z0-9+/]{40,}")


def without_keys(text: str) -> str:
    """A client's words about a resource that holds a key: up to where they may repeat it."""
    found = _OF_KEYS.search(text)
    return text if found is None else f"{text[: found.start()]}… (left out: what may be of a key)"
