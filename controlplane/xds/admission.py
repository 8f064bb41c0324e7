"""Whether a new stream may come in: cheap checks before expensive ones."""

from __future__ import annotations


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
