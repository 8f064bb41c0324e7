"""The documents of the file source: services with their instances. Pure; `file.py` watches the files."""

from __future__ import annotations

from types import MappingProxyType

from controlplane.registry.file_fields import FieldError, Value, documents
from controlplane.registry.metadata import PROTOCOL_ALIASES
from controlplane.registry.source import RawInstance, RawService
from controlplane.registry.types import Health, Protocol

_PROTOCOLS = (*Protocol, *PROTOCOL_ALIASES)
_HEALTH = tuple(Health)
_SERVICE = ("name", "protocol", "instances")
_INSTANCE = ("address", "port", "weight", "health", "protocol", "metadata")


def parse(text: str) -> dict[str, RawService]:
    """The services of a file, given its text, by name.

    Raises FieldError, which names the line and the field. An empty text is an error, too: editors empty a
    file for a moment while they write it. A file without services says `services: []`.
    """
    services: dict[str, RawService] = {}
    seen = False
    for document in documents(text):
        seen = True
        fields = document.mapping(("services",), required=("services",))
        for value in fields["services"].items():
            service = _service(value)
            if service.name in services:
                raise value.error(f"the service {service.name} is in this file twice; remove one of them")
            services[service.name] = service
    if not seen:
        raise FieldError(
            "services", 1, "is missing: the file is empty; write `services: []` if there are no services"
        )
    return services


def _service(value: Value) -> RawService:
    fields = value.mapping(_SERVICE, required=("name",))
    name = fields["name"].name()
    if name.startswith("/") or name.endswith("/"):
        raise fields["name"].error("must not begin or end with /")
    instances = fields["instances"].items() if "instances" in fields else []
    return RawService(
        name=name,
        instances=tuple(_instance(one) for one in instances),
        protocol=fields["protocol"].choice(_PROTOCOLS) if "protocol" in fields else "",
    )


def _instance(value: Value) -> RawInstance:
    fields = value.mapping(_INSTANCE, required=("address", "port"))
    metadata = fields["metadata"].mapping() if "metadata" in fields else {}
    health = fields["health"].choice(_HEALTH) if "health" in fields else Health.HEALTHY
    return RawInstance(
        address=fields["address"].name(),
        port=fields["port"].integer(),
        weight=fields["weight"].number() if "weight" in fields else 1.0,
        healthy=health == Health.HEALTHY,
        metadata=MappingProxyType({key: text.text() for key, text in metadata.items()}),
        protocol=fields["protocol"].choice(_PROTOCOLS) if "protocol" in fields else "",
    )
