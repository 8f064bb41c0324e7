"""File descriptors of the process, and how the ports share them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from dataclasses import dataclass

MOST = 1 << 20
"""Limit to ask for if the system sets none."""
KEPT = 96
"""Descriptors kept for the store, the sources, logs, and files that libraries open for a moment."""
ENTERING = 4_096
"""Most connections that wait until the xDS port lets them in."""
LEAST = 16
"""Fewest connections of a port."""
PREPARED = 1 << 16
"""Most descriptors whose places the kernel prepares when the process starts (half a MiB)."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one. Returns the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # a sandbox may forbid it
            pass
    return MOST if soft == resource.RLIM_INFINITY else soft


def prepare(limit: int) -> None:
    """Let the kernel prepare the places of `limit` descriptors, but at most of PREPARED.

    Else it doubles their table each time it is full, and in a process with threads it waits for all cores
    before it goes on (`expand_fdtable` in fs/file.c of Linux): `accept` and everything behind it stood still
    for 12 to 24 ms each time that a crowd arrived.
    """
    with contextlib.suppress(OSError), open(os.devnull) as any_file:  # the last may be in use
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, min(limit, PREPARED) - 1))


def divided(admin: int) -> Shares:
    """Take as many descriptors as the process may have, once at its start, and divide them; see `shares`."""
    limit = raise_limit()
    prepare(limit)
    return shares(limit, admin)


@dataclass(frozen=True)
class Shares:
    """Connections that each port may have."""

    admin: int
    xds: int
    entering: int
    """Connections that may wait until the xDS port lets them in; each has a descriptor, too."""


def shares(limit: int, admin: int) -> Shares:
    """Divide `limit` descriptors: `admin` for the admin port, but at most a quarter; the rest for the xDS
    port.

    So neither port can use up the descriptors of the other.
    """
    free = max(limit - KEPT, 0)
    admin = max(min(admin, free // 4), LEAST)
    left = max(free - admin, LEAST)
    entering = min(ENTERING, left // 8)
    return Shares(admin, max(left - entering, LEAST), entering)
