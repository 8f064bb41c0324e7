"""What the admin API needs of the control plane: the composition root implements it, tests a small one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from controlplane.registry.types import Service
from controlplane.store.interface import DefinitionStore


class UnknownService(LookupError):
    """No service has this name, nor one that ends in it."""


class AmbiguousService(LookupError):
    """Several services end in this name: `candidates` are their canonical ids."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        super().__init__(f"{name} may be any of {', '.join(candidates)}")
        self.name = name
        self.candidates = tuple(candidates)


class ExplainRequest(BaseModel):
    """A request as it would come to a gateway. `headers` are its lines in order: [name, value]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: Annotated[str, Field(min_length=1, max_length=63)]
    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,32}$")] = "GET"
    host: Annotated[str, Field(max_length=512)] = ""
    path: Annotated[str, Field(pattern=r"^/", max_length=16_384)] = "/"
    headers: Annotated[tuple[tuple[str, str], ...], Field(max_length=1000)] = ()


class ControlPlane(Protocol):
    """The running control plane, as the admin API sees it. Nothing here blocks."""

    @property
    def store(self) -> DefinitionStore: ...

    def services(self) -> Mapping[str, Service]:
        """Every service that the sources know, by canonical id."""
        ...

    def resolve_service(self, name: str) -> Service:
        """The service of a canonical id, or of a suffix of it.

        Raises UnknownService, or AmbiguousService with the candidates.
        """
        ...

    def matches(self, lane_name: str) -> dict[str, Any]:
        """The body of `GET .../lanes/{lane}/matches`. The lane exists."""
        ...

    def explain(self, request: ExplainRequest) -> dict[str, Any]:
        """The body of the answer to `POST /v1/explain`. The gateway exists."""
        ...

    def proxies(self) -> list[dict[str, Any]]:
        """One item a stream, as `GET /v1/proxies` shows them; `node` is the node id."""
        ...

    def conflicts(self, service_id: str) -> list[str]:
        """Addresses that this service shares with another, in words."""
        ...

    def ready(self) -> list[str]:
        """What the control plane still waits for, in words; empty when it is ready."""
        ...
