"""Wrong tokens: told in the log, and limited by address."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import structlog

from controlplane.net.crowd import sender

log = structlog.get_logger(__name__)

REMEMBERED = 10_000
"""Addresses, and pairs of address and name, that are kept; the oldest are forgotten first."""
PROVEN_TIME = 3600.0
"""Seconds for which a token that was right from an address is taken from there, whatever others try there."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """The last REMEMBERED entries."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > REMEMBERED:
            self._entries.popitem(last=False)


class Logins:
    """Accepts `a_minute` wrong tokens from an address at once, and as many per minute over time.

    After that, tokens from this address are not checked, so guessing takes for ever. Other addresses are not
    affected. Nor are tokens that were used successfully from this address (a proxy in front) before.
    """

    def __init__(
        self, a_minute: int, counters: Counter[str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = a_minute / 60
        self._burst = float(a_minute)
        self._clock = clock
        self._counters = counters if counters is not None else Counter()
        self._left: _Recent[str, tuple[float, float]] = _Recent()
        self._proven: _Recent[tuple[str, str], float] = _Recent()

    def wait(self, host: str, name: str | None) -> float:
        """Seconds until a token from `host` is checked again; 0 for now. `name`: the name of the token."""
        key, now = sender(host), self._clock()
        left = self._now_left(key, now)
        if left >= 1:
            return 0.0
        if name is not None and now - (self._proven.get((key, name)) or -PROVEN_TIME) < PROVEN_TIME:
            return 0.0
        self._counters["logins_limited"] += 1
        return (1 - left) / self._rate

    def right(self, host: str, name: str) -> None:
        """The token was right; `name` is its name."""
        self._proven.put((sender(host), name), self._clock())

    def wrong(self, host: str, path: str) -> None:
        """The token was wrong."""
        key, now = sender(host), self._clock()
        left = self._now_left(key, now) - 1
        self._left.put(key, (left, now))
        self._counters["logins_failed"] += 1
        log.warning("a wrong token was given", address=host, path=path[:200])
        if left < 1:
            wait = round((1 - left) / self._rate)
            log.warning(
                "too many wrong tokens: this address is not asked for a while", address=host, seconds=wait
            )

    def _now_left(self, key: str, now: float) -> float:
        left, at = self._left.get(key) or (self._burst, now)
        return min(self._burst, left + (now - at) * self._rate)
