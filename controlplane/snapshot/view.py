"""What one connected proxy gets, and who it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from controlplane.snapshot.nodes import AnyNode
from controlplane.translate.front import HELD
from controlplane.xds.bounds import shown
from controlplane.xds.resources import Clock, Collection
from controlplane.xds.view import NotAllowed, View


class NodeView(View):
    """The view of one stream. It keeps the node as it was parsed when the stream began."""

    def __init__(
        self,
        node: AnyNode,
        clock: Clock,
        collections: Mapping[str, Sequence[Collection]],
        whole: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(clock, collections, whole)
        self.node: AnyNode = node

    def admit(self, type_url: str, names: Set[str]) -> None:
        held = sorted(name for name in names if name.startswith(HELD))
        if held:
            raise NotAllowed(
                f"{shown(held[0])} is sent only to edges of a gateway that names it, and only over mTLS: "
                "show a certificate of the gateway to a control plane with --xds-client-ca"
            )

    def warnings(self) -> list[str]:
        """Sentences on what looks wrong with the proxy."""
        return []

    def release(self) -> None:
        """The stream has ended: free what only this view uses. To be called once."""
