"""The paths of documents, made from the table of kinds."""

from __future__ import annotations

from controlplane.model.kinds import KINDS, Kind


def path(kind: Kind, member: bool) -> str:
    """The path of all documents of a kind (under one parent), or of one of them."""
    parent = path(KINDS[kind.parent], True) if kind.parent else "/v1"
    return f"{parent}/{kind.plural}" + (f"/{{{kind.parameter}}}" if member else "")
