"""What an application says of calls to it: timeouts, choice of an instance, bounds and health checks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse

HASHING = ("ring_hash", "maglev")

Bound = Annotated[int, Field(ge=1, le=1_000_000)]


class GrpcCheck(Document):
    """grpc.health.v1. `service` is the name that the server is asked for; "" means the whole server."""

    service: Annotated[str, Field(max_length=256), AfterValidator(fields.printable)] = ""


class HealthCheck(Document):
    """Exactly one of `path` (HTTP), `grpc` and `tcp` (a connection can be made) is set."""

    path: fields.Path | None = None
    grpc: GrpcCheck | None = None
    tcp: Literal[True] | None = None
    interval: fields.Interval = "5s"

    @model_validator(mode="after")
    def _one(self) -> HealthCheck:
        given = [name for name in ("path", "grpc", "tcp") if getattr(self, name) is not None]
        if len(given) != 1:
            refuse(
                f"has {' and '.join(given) or 'none'} of path, grpc and tcp",
                "give exactly one of path (HTTP), grpc and tcp",
            )
        return self


class Timeouts(Document):
    """`request`: until the whole answer is there; `idle`: while a request is silent. `0s`: no limit."""

    request: fields.Duration | None = None
    idle: fields.Duration | None = None


class HashBy(Document):
    """What the calls have in common that go to one instance: exactly one of the two is set."""

    header: fields.Header | None = None
    cookie: fields.Token | None = None

    @model_validator(mode="after")
    def _one(self) -> HashBy:
        if (self.header is None) == (self.cookie is None):
            refuse(
                "must have one of header and cookie", "give exactly one of {header: NAME} and {cookie: NAME}"
            )
        return self


class LoadBalancing(Document):
    """How a proxy chooses among the instances of base, or among those of a lane."""

    policy: Literal["round_robin", "least_request", "random", "ring_hash", "maglev"]
    hash_by: HashBy | None = None

    @model_validator(mode="after")
    def _fits(self) -> LoadBalancing:
        if self.policy in HASHING and self.hash_by is None:
            remedy = "add hash_by: {header: NAME} or hash_by: {cookie: NAME}"
            refuse(f"is missing, and {self.policy} has nothing to choose by", remedy, "hash_by")
        if self.policy not in HASHING and self.hash_by is not None:
            remedy = "leave hash_by out, or use ring_hash or maglev"
            refuse(f"cannot be combined with {self.policy}", remedy, "hash_by")
        return self


class CircuitBreaking(Document):
    """What one proxy has open at most to base, and to each tag, of a service; absent: no limit.

    `retries` are those under way at once; absent: 10,000.
    """

    connections: Bound | None = None
    pending: Bound | None = None
    requests: Bound | None = None
    retries: Bound | None = None

    @model_validator(mode="after")
    def _some(self) -> CircuitBreaking:
        if not self.model_fields_set:
            refuse("bounds nothing", "give connections, pending, requests or retries")
        return self
