"""Reads address, tag, application and protocol of an instance from what a registry reports of it. Pure.

An instance whose tag cannot be read is refused and never counted as base: a canary that gets everybody's
traffic because of a typing error is worse than one that gets none.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from controlplane.ip import authority, ip_address
from controlplane.registry.source import RawInstance, RawService
from controlplane.registry.types import Health, Instance, Protocol, Refused

DEFAULT_TAG_KEYS = ("alicloud.service.tag", "opensergo.io/canary-<tag>", "__micro.service.env__", "lane")
"""Metadata keys that may hold a tag, in order. `<tag>` at the end of a key stands for the tag itself."""

GRPC_PORT_KEYS = ("gRPC_port", "gRPC.port")
"""Metadata keys in which Spring's gRPC starters write the port of their gRPC server; they register
the HTTP port.
"""

APPLICATION_KEYS = ("msePilotCreateAppName", "app")
PROTOCOL_KEY = "protocol"

_ENVIRONMENT_KEY = "__micro.service.env__"
_PLACEHOLDER = "<tag>"
_TAG = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


PROTOCOL_ALIASES = {"h2c": Protocol.HTTP2, "kubernetes.io/h2c": Protocol.HTTP2}


class MetadataError(ValueError):
    """An instance is refused; the text is the reason, for users."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the metadata of instances is read.

    `tag_keys` are the keys that may hold a tag, in order, and `base_tags` their values that mean base.
    `grpc_port_keys` are the keys that may hold the port of a gRPC server beside the registered port, in
    order. `application_keys` are the keys of the application, in order.
    """

    tag_keys: tuple[str, ...] = DEFAULT_TAG_KEYS
    base_tags: frozenset[str] = frozenset()
    grpc_port_keys: tuple[str, ...] = GRPC_PORT_KEYS
    application_keys: tuple[str, ...] = APPLICATION_KEYS

    def tells_tag(self, key: str) -> bool:
        """Whether a metadata key may hold a tag."""
        return any(
            key.startswith(one.removesuffix(_PLACEHOLDER).rstrip("-"))
            if one.endswith(_PLACEHOLDER)
            else key == one
            for one in self.tag_keys
        )

    def tells(self, key: str) -> bool:
        """Whether a metadata key may hold a tag, an application, a protocol or a port."""
        known = (*self.application_keys, *self.grpc_port_keys, PROTOCOL_KEY)
        return key in known or self.tells_tag(key)


@dataclass(frozen=True, slots=True)
class Reading:
    """A service as it was read: usable instances by address and port, refused ones, and warnings
    for users.
    """

    instances: tuple[Instance, ...] = ()
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    protocol: Protocol = Protocol.UNKNOWN


def read_tag(
    metadata: Mapping[str, str],
    keys: Sequence[str] = DEFAULT_TAG_KEYS,
    base_tags: Collection[str] = (),
) -> tuple[str | None, str]:
    """The tag of an instance with this metadata (None for base), and a warning or "".

    `keys` are read in order; the first tag counts, and a different value of another key is a warning. A value
    of `base_tags` is not a tag: an instance with such a value in one key and a tag in another has that tag,
    so that a canary never takes base traffic by mistake. Raises MetadataError where the metadata has one of
    the keys with a value that is no tag.
    """
    found = [hit for key in keys for hit in _hits(metadata, key, base_tags)]
    named = [hit for hit in found if hit[1] not in base_tags]
    if not named:
        return None, ""
    key, tag = named[0]
    for other_key, other in found:
        if other != tag:
            said = f"{other}, which means base" if other in base_tags else other
            return tag, f"the tag {tag} of {key} is used, although {other_key} is {said}"
    return tag, ""


def _hits(metadata: Mapping[str, str], key: str, base_tags: Collection[str]) -> Iterable[tuple[str, str]]:
    """Each (metadata key, tag) that belongs to one entry of the list of keys."""
    if key.endswith(_PLACEHOLDER):
        yield from _hits_in_key(metadata, key.removesuffix(_PLACEHOLDER), base_tags)
    elif key in metadata:
        if key == _ENVIRONMENT_KEY:
            for tag in _environment_tags(metadata[key], base_tags):
                yield key, tag
        else:
            yield key, _checked(key, metadata[key], base_tags)


def _hits_in_key(
    metadata: Mapping[str, str], prefix: str, base_tags: Collection[str]
) -> Iterable[tuple[str, str]]:
    """Tags that are part of the key: `opensergo.io/canary-gray: gray`. The bare key with no value
    means base.
    """
    bare = prefix.rstrip("-")
    if metadata.get(bare) and metadata[bare] not in base_tags:
        raise MetadataError(
            f"{bare} is {_short(metadata[bare])}, but must be empty, which means base; "
            f"write a tag as {prefix}<tag>: <tag>"
        )
    for key in sorted(k for k in metadata if k.startswith(prefix)):
        tag = _checked(key, key.removeprefix(prefix), base_tags)
        if metadata[key] != tag:
            raise MetadataError(f"{key} is {_short(metadata[key])}, but must be {tag}")
        yield key, tag


def _environment_tags(text: str, base_tags: Collection[str]) -> list[str]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise MetadataError(f"{_ENVIRONMENT_KEY} is not JSON: {_short(text)}") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise MetadataError(f"{_ENVIRONMENT_KEY} is not a JSON array of objects with `tag`: {_short(text)}")
    tags: list[str] = []
    for entry in entries:
        tag = entry.get("tag")
        if not isinstance(tag, str):
            raise MetadataError(f"{_ENVIRONMENT_KEY} has an entry without a text `tag`: {_short(text)}")
        tags.append(_checked(_ENVIRONMENT_KEY, tag, base_tags))
    return tags


def _checked(key: str, tag: str, base_tags: Collection[str]) -> str:
    if tag in base_tags:
        return tag
    if not tag:
        raise MetadataError(f"{key} is empty; remove it for a base instance")
    if not _TAG.fullmatch(tag):
        raise MetadataError(
            f"{key} is {_short(tag)}, which is not a tag: a tag has 1 to 63 letters, digits, '.', '_' or "
            "'-', and begins and ends with a letter or digit"
        )
    return tag


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@functools.lru_cache(maxsize=65536)  # the same addresses are read again and again, and parsing is slow
def read_address(text: str) -> str:
    """`text` as an IP address in its canonical form. Raises MetadataError if it is none, or not of
    one host.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise MetadataError(f"{_short(text)} is not an IP address; host names are not resolved") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise MetadataError(f"{text} has a zone, which is valid on one machine only; register it without")
    if address.is_unspecified or address.is_multicast:
        raise MetadataError(f"{text} is not the address of a single machine")
    return str(address)


def read_protocol(text: str) -> tuple[Protocol, str]:
    """The protocol of this name, and a warning or "". `h2c` is HTTP/2 without TLS.

    For a name that is not known: UNKNOWN, with a warning.
    """
    try:
        return PROTOCOL_ALIASES.get(text) or Protocol(text), ""
    except ValueError:
        known = "http1, http2 (or h2c), grpc or tcp"
        return Protocol.UNKNOWN, f"the protocol {_short(text)} is not known; use {known}"


def read_grpc_port(metadata: Mapping[str, str], keys: Sequence[str]) -> tuple[int | None, str]:
    """The port of a gRPC server beside the registered port (None without one), and a warning or "".

    The first of `keys` with a value counts.
    """
    for key in keys:
        text = metadata.get(key, "").strip()
        if not text:
            continue
        if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535:
            return int(text), ""
        return None, f"{key} is {_short(text)}, but must be the port of the gRPC server, from 1 to 65535"
    return None, ""


def read_application(
    metadata: Mapping[str, str], service: str, keys: Sequence[str] = APPLICATION_KEYS
) -> str:
    """The application of an instance of `service`: the first of `keys` with a value, else the service."""
    for key in keys:
        if metadata.get(key):
            return metadata[key]
    return service


def read_instance(raw: RawInstance, service: str, conventions: Conventions) -> tuple[Instance, list[str]]:
    """The instance of `service` that `raw` describes, and warnings.

    Raises MetadataError where it is refused.
    """
    address = read_address(raw.address)
    if raw.refused:
        raise MetadataError(raw.refused)
    if not 1 <= raw.port <= 65535:
        raise MetadataError(f"port {raw.port} is not between 1 and 65535")
    if not math.isfinite(raw.weight) or raw.weight < 0:
        raise MetadataError(f"weight {raw.weight} is negative or not a number")
    try:
        "".join((*raw.metadata, *raw.metadata.values())).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell: no proxy could be told of it
        raise MetadataError("its metadata has characters that are no text; register it anew") from None
    tag, tag_warning = read_tag(raw.metadata, conventions.tag_keys, conventions.base_tags)
    protocol, protocol_warning = read_protocol(raw.protocol or raw.metadata.get(PROTOCOL_KEY, ""))
    grpc_port, port_warning = read_grpc_port(raw.metadata, conventions.grpc_port_keys)
    if grpc_port == raw.port and protocol is Protocol.UNKNOWN:
        protocol = Protocol.GRPC
    return (
        Instance(
            address=address,
            port=raw.port,
            tag=tag,
            application=read_application(raw.metadata, service, conventions.application_keys),
            weight=raw.weight,
            health=Health.HEALTHY if raw.healthy else Health.UNHEALTHY,
            protocol=protocol,
            metadata=MappingProxyType(dict(raw.metadata)),
            zone=raw.zone,
        ),
        [warning for warning in (tag_warning, protocol_warning, port_warning) if warning],
    )


def read_service(raw: RawService, conventions: Conventions = Conventions()) -> Reading:
    """The service that `raw` describes, each instance used or refused.

    Disabled instances and those of weight 0 are left out and are not mentioned. Of several instances with the
    same ip:port, one is used if all have the same tag, else none: which tag is right cannot be known. A last
    resort is left out where another instance of its application and tag is there.
    """
    taken: dict[tuple[str, int], Instance] = {}
    last_resorts: list[tuple[str, int]] = []
    refused: list[Refused] = []
    warnings: set[str] = set()
    clashing: dict[tuple[str, int], set[str]] = {}
    for one in raw.instances:
        try:
            instance, said = read_instance(one, raw.name, conventions)
        except MetadataError as error:
            refused.append(Refused(one.address, one.port, str(error)))
            continue
        if not one.enabled or one.weight == 0:
            continue
        where = authority(instance.address, instance.port)
        warnings.update(f"{where}: {text}" for text in said)
        key = (instance.address, instance.port)
        first = taken.setdefault(key, instance)
        if first is instance:
            if one.last_resort:
                last_resorts.append(key)
            continue
        if first.tag == instance.tag:
            refused.append(Refused(*key, "registered more than once; one of the registrations is used"))
        else:
            clashing.setdefault(key, {first.tag or "base"}).add(instance.tag or "base")
    for key, tags in clashing.items():
        del taken[key]
        reason = f"registered more than once, with different tags: {', '.join(sorted(tags))}"
        refused.append(Refused(*key, reason))
    _leave_last_resorts(taken, last_resorts)
    protocol, warning = read_protocol(raw.protocol)
    if warning:
        warnings.add(warning)
    return Reading(
        instances=tuple(taken[key] for key in sorted(taken)),
        refused=tuple(sorted(refused, key=lambda r: (r.address, r.port, r.reason))),
        warnings=tuple(sorted(warnings)),
        protocol=protocol,
    )


def _leave_last_resorts(
    taken: dict[tuple[str, int], Instance], last_resorts: Iterable[tuple[str, int]]
) -> None:
    """Take away the last resorts of each application and tag of which another instance is left."""
    last = [key for key in last_resorts if key in taken]
    if not last:
        return
    others = {(i.application, i.tag) for key, i in taken.items() if key not in set(last)}
    for key in last:
        if (taken[key].application, taken[key].tag) in others:
            del taken[key]
