"""File descriptors of the process, and how the ports share them."""

from __future__ import annotations

import resource
from dataclasses import dataclass

MOST = 1 << 20
"""What is asked for where the system sets no limit."""
KEPT = 96
"""Descriptors that no port gets: of the store, the sources, logs, and what a library opens for a moment."""
LEAST = 16
"""Connections that a port has in any case."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one. Returns the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # a sandbox that forbids it
            pass
    return MOST if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True)
class Shares:
    """Connections that each port may have."""

    admin: int
    xds: int


def shares(limit: int, admin: int) -> Shares:
    """Of `limit` descriptors, `admin` connections for the admin port but at most a quarter; the rest is xDS'.

    So neither port can take what the other one needs.
    """
    free = max(limit - KEPT, 0)
    admin = max(min(admin, free // 4), LEAST)
    return Shares(admin, max(free - admin, LEAST))
