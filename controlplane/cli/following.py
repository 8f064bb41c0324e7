"""Waits until a collection of the control plane changes, by its watches."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from controlplane.cli.client import Client

AGAIN_S = 1.0
"""Seconds until a watch that could not be had, or has ended, is asked for again."""
TOGETHER_S = 0.05
"""Seconds in which changes are shown together."""


class Following:
    """Watches of the collections at `paths`, each in a thread that ends with the command."""

    def __init__(self, client: Client, paths: Sequence[str]) -> None:
        self._changes: queue.SimpleQueue[None] = queue.SimpleQueue()
        for path in paths:
            threading.Thread(target=self._follow, args=(client, path), daemon=True).start()

    def wait(self) -> None:
        """Until something has changed, or a watch was lost."""
        self._changes.get()
        time.sleep(TOGETHER_S)
        while not self._changes.empty():
            self._changes.get()

    def _follow(self, client: Client, path: str) -> None:
        while not client.closed:
            for _ in client.events(path):
                self._changes.put(None)
            time.sleep(AGAIN_S)
            self._changes.put(None)  # whoever shows it asks, and ends where nobody answers
