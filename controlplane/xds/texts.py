"""What clients write, as far as it is shown and logged."""

from __future__ import annotations

LONGEST = 1_000
"""Characters of a client's text that are kept."""
LONGEST_ID = 512
"""Bytes of a node id, and of a type URL."""


def shown(text: str, longest: int = LONGEST) -> str:
    """A text with its control characters written out, cut with its length said."""
    kept = text[:longest]
    if not kept.isprintable():
        kept = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in kept)
    return kept if len(text) <= longest else f"{kept}… (cut; it has {len(text)} characters)"
