"""Who a client is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gateway", "application", "operator"]
KINDS: tuple[Kind, ...] = ("gateway", "application", "operator")


@dataclass(frozen=True, slots=True)
class Identity:
    """A gateway, an application or an operator. `node` and `address` are of the one proxy that the
    certificate is for; empty where it is for any proxy of the gateway or application.
    """

    kind: Kind
    name: str
    node: str = ""
    address: str = ""

    @property
    def party(self) -> str:
        """What all holders of such certificates are together."""
        return f"{self.kind} {self.name}"
