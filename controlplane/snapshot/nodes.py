"""Parses what a client says about itself (node metadata). No client is trusted: everything is checked."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from controlplane.ip import ip_address
from controlplane.model.plain import is_list, is_object
from controlplane.translate.sidecar import OwnService, Sidecar

OLDEST_ENVOY = (1, 40, 0)
LONGEST_TEXT = 253
"""Longest name in node metadata, in characters: that of a DNS name."""
MOST_SERVICES = 100
"""Most services of one sidecar's application: each needs a listener and a cluster."""
MOST_CALLS = 2_000
"""Most services that one sidecar may name in `calls`."""

Role = Literal["edge", "sidecar", "grpc"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def _shown(value: object) -> str:
    """A value for an error message, cut to a bounded length."""
    return _short.repr(value)


class NodeError(ValueError):
    """The node cannot be served; the text says what to change in its bootstrap."""


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """`reports` is the cluster of its bootstrap that leads to the control plane; "" where it names none."""

    role: ClassVar[Role] = "edge"
    gateway: str
    reports: str = ""


@dataclass(frozen=True, slots=True)
class SidecarNode:
    """`calls` is None where it may call everything."""

    role: ClassVar[Role] = "sidecar"
    application: str
    tag: str | None
    place: Sidecar
    calls: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class GrpcNode:
    """An instance of `application` whose gRPC library is the xDS client. `tag` is None for base."""

    role: ClassVar[Role] = "grpc"
    application: str
    tag: str | None


AnyNode = EdgeNode | SidecarNode | GrpcNode


def _text(metadata: Mapping[str, Any], field: str, default: str | None = None) -> str:
    value = metadata.get(field, default)
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT:
        raise NodeError(
            f"node.metadata.{field} is {_shown(value)}; write a non-empty string of at most "
            f"{LONGEST_TEXT} characters"
        )
    return value


def _reports(metadata: Mapping[str, Any]) -> str:
    return _text(metadata, "reports") if "reports" in metadata else ""


def _address(metadata: Mapping[str, Any], field: str, default: str | None = None) -> str:
    value = _text(metadata, field, default)
    try:
        return str(ip_address(value))
    except ValueError:
        raise NodeError(
            f"node.metadata.{field} is {_shown(value)}; write an IP address, such as 10.0.3.177"
        ) from None


def _port(entry: Mapping[str, Any], field: str, where: str) -> int:
    value = entry.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 65535 or value % 1:
        raise NodeError(f"{where}.{field} is {_shown(value)}; write a port from 1 to 65535")
    return int(value)


def _services(metadata: Mapping[str, Any], proxy: bool) -> tuple[OwnService, ...]:
    listed = metadata.get("services", [])
    if not is_list(listed):
        raise NodeError(
            f"node.metadata.services is {_shown(listed)}; write a list of {{service, port, app_port}}"
        )
    if len(listed) > MOST_SERVICES:
        raise NodeError(
            f"node.metadata.services has {len(listed)} entries; list only the services that "
            f"this application itself serves, at most {MOST_SERVICES}"
        )
    found: dict[int, OwnService] = {}
    for position, entry in enumerate(listed):
        where = f"node.metadata.services[{position}]"
        if not is_object(entry):
            raise NodeError(f"{where} is {_shown(entry)}; write {{service, port, app_port}}")
        port = _port(entry, "port", where)
        if "app_port" in entry:
            app_port = _port(entry, "app_port", where)
        elif proxy:
            raise NodeError(f"{where}.app_port is missing; proxy capture needs the application's own port")
        else:
            app_port = port
        if port in found:
            raise NodeError(f"{where}.port {port} comes twice; give each service a port of its own")
        found[port] = OwnService(_text(entry, "service"), port, app_port)
    return tuple(found.values())


def _tag(metadata: Mapping[str, Any], base_tags: Collection[str]) -> str | None:
    tag = metadata.get("tag")
    if tag is not None and (not isinstance(tag, str) or len(tag) > LONGEST_TEXT):
        raise NodeError(
            f"node.metadata.tag is {_shown(tag)}; write a string of at most "
            f"{LONGEST_TEXT} characters, or leave it out for base"
        )
    return tag if tag and tag not in base_tags else None


def _calls(metadata: Mapping[str, Any]) -> frozenset[str] | None:
    calls = metadata.get("calls")
    if calls is None:
        return None
    if not is_list(calls) or not all(
        isinstance(name, str) and 0 < len(name) <= LONGEST_TEXT for name in calls
    ):
        raise NodeError(
            f"node.metadata.calls is {_shown(calls)}; write a list of service names, or leave it out"
        )
    if len(calls) > MOST_CALLS:
        raise NodeError(
            f"node.metadata.calls has {len(calls)} names, more than {MOST_CALLS}; leave it out, then the "
            "sidecar may call everything"
        )
    return frozenset(calls)


def build_version(agent: str, version: str) -> tuple[int, int, int] | None:
    """The version of an Envoy; None for other clients, whose versions are numbered differently."""
    parts = version.split(".")
    if agent != "envoy" or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def parse_node(
    cluster: str,
    metadata: Mapping[str, Any],
    version: tuple[int, int, int] | None,
    base_tags: Collection[str] = (),
) -> AnyNode:
    """The node's role and place. `base_tags` are values of its tag that mean base.

    Raises NodeError with a message for the author of the bootstrap.
    """
    if version is not None and version < OLDEST_ENVOY:
        given, oldest = (".".join(map(str, v)) for v in (version, OLDEST_ENVOY))
        raise NodeError(f"Envoy {given} is older than {oldest}, the oldest that Laneway supports; upgrade it")
    if not cluster or len(cluster) > LONGEST_TEXT:
        raise NodeError(
            "node.cluster is empty or too long; write the gateway's name (edge) or the application (sidecar, "
            "grpc)"
        )
    role = metadata.get("role")
    if role == "edge":
        return EdgeNode(cluster, _reports(metadata))
    if role == "grpc":
        return GrpcNode(cluster, _tag(metadata, base_tags))
    if role != "sidecar":
        raise NodeError(f"node.metadata.role is {_shown(role)}; write edge, sidecar or grpc")
    capture = metadata.get("capture", "proxy")
    if capture not in ("proxy", "redirect"):
        raise NodeError(f"node.metadata.capture is {_shown(capture)}; write proxy or redirect")
    proxy = capture == "proxy"
    address = _address(metadata, "address")
    egress = _address(metadata, "egress_address", "127.0.0.1")
    if not ip_address(egress).is_loopback:
        raise NodeError(
            f"node.metadata.egress_address is {egress!r}: the egress proxy takes any request to anywhere, so "
            "it must not be reached from outside; write a loopback address, such as 127.0.0.1"
        )
    place = Sidecar(
        address=address,
        app_address=_address(metadata, "app_address", address),
        egress_address=egress,
        proxy=proxy,
        services=_services(metadata, proxy),
        reports=_reports(metadata),
    )
    return SidecarNode(cluster, _tag(metadata, base_tags), place, _calls(metadata))
