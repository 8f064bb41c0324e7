"""`laneway serve` with the clock of a test: LANEWAY_TEST_CLOCK names a file with seconds since the epoch."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from controlplane.app import serving
from controlplane.cli import main

FILE = Path(os.environ.pop("LANEWAY_TEST_CLOCK"))


def now() -> float:
    return float(FILE.read_text())


if __name__ == "__main__":
    serving.run = functools.partial(serving.run, clock=now)  # type: ignore[assignment]
    main()
