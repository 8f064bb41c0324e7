"""Limits the log lines that any client can cause: a number for each address, further lines are counted."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .crowd import sender

EACH = 10
"""Most lines of one address in a period."""
PERIOD = 10.0
"""Seconds."""
_MOST_SENDERS = 1_000
"""Most addresses that are remembered; the count of a forgotten address begins again at zero."""


class Lines:
    """Writes `EACH` lines of an address in a period; the next line after that says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._senders: OrderedDict[str, list[float]] = OrderedDict()  # start of the period, lines, left out
        #: Number of lines left out since the start.
        self.suppressed = 0

    def write(self, log: Callable[..., Any], event: str, host: str, **fields: Any) -> None:
        """Write a line with `log`, the method of a logger, if `host` is below its limit."""
        key = sender(host)
        now = self._clock()
        known = self._senders.get(key)
        if known is None:
            known = self._senders[key] = [now, 0, 0]
            if len(self._senders) > _MOST_SENDERS:
                self._senders.popitem(last=False)
        elif now - known[0] >= PERIOD:
            known[0], known[1] = now, 0
        if known[1] >= EACH:
            known[2] += 1
            self.suppressed += 1
            return
        known[1] += 1
        if known[2]:
            fields["suppressed"], known[2] = int(known[2]), 0
        log(event, **fields)


def host_of(peer: str) -> str:
    """The address in a peer as gRPC writes it: `ipv4:10.0.0.1:1234`, `ipv6:[::1]:1234`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")
