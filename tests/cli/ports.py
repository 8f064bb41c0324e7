"""Ports given by the system, and waiting for what another process does."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import httpx

from tests.cli.forking import Forked

_PAUSE = threading.Event()  # never set: a bounded wait between two looks


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def loopback_network() -> str:
    """The first three numbers of a loopback network for this test alone."""
    return f"127.{random.SystemRandom().randint(20, 250)}.{random.SystemRandom().randint(1, 254)}"


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen | Forked | None = None, seconds: float = 30.0
) -> None:
    """Until `condition` holds; a refused connection counts as not yet. AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        assert process is None or process.poll() is None, "the process ended"
        assert time.monotonic() < deadline, "waited too long"
        _PAUSE.wait(0.02)
