"""Where the store in Nacos keeps its items, and its limits of time and number."""

GROUP = "LANEWAY"
"""The group of the items of definitions."""

ABSENT = "0" * 32
"""An MD5 that no index has: compared with it, an index is written only if there is none."""

BATCH = 64
"""Most changes that are written together."""

SWEEP = 100
"""After so many writes of the index, items that killed attempts left behind are looked for."""

LAG = 10.0
"""Seconds by which a server's cache may be behind its database or another server."""

PATIENCE = 30.0
"""Seconds for which a change is tried again after other control planes were first."""

RETRY = 1.0
"""Seconds between attempts to read from Nacos."""

TURN = 0.3
"""Most seconds for which a writer pauses after a change, so that others can write: they see the change only
when the server's cache has it, and would otherwise always be too late.
"""

COMPANY = 3.0
"""Seconds after a change of another control plane for which others count as writing."""
