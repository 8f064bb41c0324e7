"""Exemplars: single requests beside the sums, the last one that was seen for each bucket of a duration.

https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from controlplane.traffic.series import BUCKETS

MOST = 2_000
"""Exemplars of all series; the oldest go first."""
KEPT = 600.0
"""Seconds for which an exemplar is shown."""
_LONGEST = 86_400.0
_TRACE_ID = re.compile(r"(?!0+$)[0-9A-Za-z._:-]{1,64}", re.ASCII)
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,36}", re.ASCII)
# The names and values of an exemplar's labels may have 128 characters in all: these have 118.

Labels = tuple[str, ...]


class Exemplar(NamedTuple):
    """One request. `labels` are what it is found by in traces and logs; `at` is when it was reported."""

    labels: Mapping[str, str]
    seconds: float
    at: float


class Exemplars:
    """By the labels of a series and the place of a bucket in BUCKETS (one more for what took longer).

    clock: seconds since the epoch; an exemplar has this time, since those of proxies may be wrong.
    """

    def __init__(self, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._found: dict[tuple[Labels, int], Exemplar] = {}  # the oldest first

    def note(self, of: Labels, seconds: float, trace_id: str, request_id: str) -> None:
        """A request of a series was seen. Ids that no tracing system makes are left out, and the request
        with them if it has no other.
        """
        labels = {
            name: value
            for name, value, form in (
                ("trace_id", trace_id, _TRACE_ID),
                ("request_id", request_id, _REQUEST_ID),
            )
            if form.fullmatch(value)
        }
        if not labels or not 0.0 <= seconds <= _LONGEST:
            return
        place = of, bisect_left(BUCKETS, seconds * 1000)
        self._found.pop(place, None)
        self._found[place] = Exemplar(labels, seconds, self._clock())
        if len(self._found) > self._most:
            del self._found[next(iter(self._found))]

    def shown(self) -> Mapping[Labels, Mapping[int, Exemplar]]:
        """Those that are not too old. Others are forgotten."""
        oldest = self._clock() - KEPT
        self._found = {place: one for place, one in self._found.items() if one.at >= oldest}
        found: dict[Labels, dict[int, Exemplar]] = defaultdict(dict)
        for (of, bucket), one in self._found.items():
            found[of][bucket] = one
        return found
