"""Roles: what a caller of the admin API may do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from controlplane.model.fields import NAME

ROLES = "viewer, operator:GROUP or admin"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a caller may do. Everybody who has any may read.

    groups: the lane groups whose lanes, releases and promotion the caller may change. admin: everything.
    """

    admin: bool = False
    groups: frozenset[str] = frozenset()

    def __str__(self) -> str:
        if self.admin:
            return "admin"
        return f"operator of {', '.join(sorted(self.groups))}" if self.groups else "viewer"

    @property
    def roles(self) -> list[str]:
        """The roles as `rights_of` reads them."""
        if self.admin:
            return ["admin"]
        return [f"operator:{group}" for group in sorted(self.groups)] or ["viewer"]

    def operates(self, group: str) -> bool:
        """Whether the caller may change the lanes of `group`."""
        return self.admin or group in self.groups


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. name: as history and audit show it; empty where nobody has to say who they are.

    by: how it was found out: `token`, `jwt`, or `nothing`.
    """

    name: str
    rights: Rights
    by: str = "token"


ANYBODY = Caller("", Rights(admin=True), "nothing")
"""The caller where no authentication is asked for."""


def rights_of(roles: Iterable[str]) -> Rights:
    """What the roles allow together. Raises ValueError for a text that is no role, or if there is none."""
    admin, any_role, groups = False, False, set[str]()
    for role in roles:
        kind, colon, group = role.partition(":")
        if kind == "operator" and re.fullmatch(NAME, group):
            groups.add(group)
        elif colon or kind not in ("viewer", "admin"):
            raise ValueError(f"{role!r} is not a role: write {ROLES}")
        admin, any_role = admin or kind == "admin", True
    if not any_role:
        raise ValueError(f"no role is given: write {ROLES}")
    return Rights(admin, frozenset(groups))
