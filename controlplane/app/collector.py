"""The cycle collector of a process that holds a large, mostly immutable state."""

from __future__ import annotations

import gc

#: Objects made and not freed until the youngest generation is looked through (CPython: 700), and passes of a
#: generation until the next.
THRESHOLDS = (50_000, 20, 20)


def relax() -> None:
    """Leave what is imported alone and look through the rest less often.

    A thousand streams that come back at once make few cycles and many objects: with CPython's thresholds the
    collector takes a tenth of the time (bench/run.py, phase storm).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
