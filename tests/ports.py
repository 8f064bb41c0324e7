"""Ports for servers of tests that take several, each at a fixed distance from the first."""

from __future__ import annotations

import random
import socket


def free_port(*more: int) -> int:
    """A port P with every P + `more` free, too.

    Below those that the system gives to connections: while a server is down, nobody takes its ports.
    """
    while True:
        port = random.randrange(11_000, 31_000)
        if all(_is_free(port + distance) for distance in (0, *more)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
