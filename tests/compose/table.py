"""The table of what was checked."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from tests.compose.stack import Failed


class Table:
    """Rows as they come, printed at once; `failed` counts the misses."""

    def __init__(self) -> None:
        self.rows = 0
        self.failed = 0
        self.began = time.monotonic()

    def section(self, name: str) -> None:
        print(f"\n--- {name} ({time.monotonic() - self.began:.0f} s)", flush=True)

    def row(self, what: str, ok: bool, said: str = "") -> bool:
        self.rows += 1
        self.failed += not ok
        print(f"{'ok  ' if ok else 'MISS'}  {what:58}  {said}", flush=True)
        return ok

    @contextmanager
    def guarded(self, what: str) -> Any:
        """A step that has not worked is a miss of its own, and the rest goes on."""
        try:
            yield
        except Failed as error:
            self.row(what, False, " ".join(str(error).split())[:600])
        except Exception:
            self.row(what, False, traceback.format_exc()[-600:])

    def step(self, what: str, action: Callable[[], tuple[bool, str]]) -> None:
        with self.guarded(what):
            self.row(what, *action())

    def summary(self) -> int:
        seconds = time.monotonic() - self.began
        print(f"\n{self.rows} checks, {self.failed} missed, {seconds:.0f} s", flush=True)
        return 1 if self.failed else 0
