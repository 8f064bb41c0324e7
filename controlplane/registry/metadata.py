"""From an instance as a registry has it to one that traffic may go to: address, tag, application, protocol.

Pure. An instance whose tag cannot be understood is refused, never taken for base: a canary that gets
everybody's traffic because of a typing error is worse than one that gets none.
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
"""Where a tag is looked for, in order. `<tag>` at the end of a key stands for the tag itself."""

GRPC_PORT_KEYS = ("gRPC_port", "gRPC.port")
"""Where Spring's gRPC starters write the port of their gRPC server, beside the registered HTTP port."""

APPLICATION_KEYS = ("msePilotCreateAppName", "app")
PROTOCOL_KEY = "protocol"

_ENVIRONMENT_KEY = "__micro.service.env__"
_PLACEHOLDER = "<tag>"
_TAG = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


PROTOCOL_ALIASES = {"h2c": Protocol.HTTP2, "kubernetes.io/h2c": Protocol.HTTP2}


class MetadataError(ValueError):
    """Why an instance is refused, in words for users."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """How the metadata of instances are read.

    tag_keys: where a tag is looked for, in order. base_tags: values of these keys that mean base.
    grpc_port_keys: where the port of a gRPC server is looked for that runs beside the registered port.
    """

    tag_keys: tuple[str, ...] = DEFAULT_TAG_KEYS
    base_tags: frozenset[str] = frozenset()
    grpc_port_keys: tuple[str, ...] = GRPC_PORT_KEYS


@dataclass(frozen=True, slots=True)
class Reading:
    """What a registry says of a service, understood. Instances are sorted by address and port."""

    instances: tuple[Instance, ...] = ()
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    protocol: Protocol = Protocol.UNKNOWN


def read_tag(
    metadata: Mapping[str, str],
    keys: Sequence[str] = DEFAULT_TAG_KEYS,
    base_tags: Collection[str] = (),
) -> tuple[str | None, str]:
    """The tag (None is base) and a warning (or "").

    A value of `base_tags` names no tag. An instance that has one, and a tag in another key, has that tag:
    a canary never takes base traffic by mistake.

    Raises MetadataError where a key that holds a tag is there but cannot be understood.
    """
    found = [hit for key in keys for hit in _hits(metadata, key, base_tags)]
    named = [hit for hit in found if hit[1] not in base_tags]
    if not named:
        return None, ""
    key, tag = named[0]
    for other_key, other in found:
        if other != tag:
            said = f"{other}, which means base" if other in base_tags else other
            return tag, f"tag {tag} of {key} is used; {other_key} says {said}"
    return tag, ""


def _hits(metadata: Mapping[str, str], key: str, base_tags: Collection[str]) -> Iterable[tuple[str, str]]:
    """Each (metadata key, tag) that is found by one entry of the list of keys."""
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
    """Tags that stand in the key itself: `opensergo.io/canary-gray: gray`. The bare key, empty, is base."""
    bare = prefix.rstrip("-")
    if metadata.get(bare) and metadata[bare] not in base_tags:
        raise MetadataError(
            f"{bare} is {_short(metadata[bare])}; it must be empty (base); "
            f"a tag is written {prefix}<tag>: <tag>"
        )
    for key in sorted(k for k in metadata if k.startswith(prefix)):
        tag = _checked(key, key.removeprefix(prefix), base_tags)
        if metadata[key] != tag:
            raise MetadataError(f"{key} is {_short(metadata[key])}; it must be {tag}")
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
        raise MetadataError(f"{key} is empty; leave it out for a base instance")
    if not _TAG.fullmatch(tag):
        raise MetadataError(
            f"{key} has the tag {_short(tag)}; a tag is 1 to 63 letters, digits, '.', '_' and '-', "
            "with a letter or digit at both ends"
        )
    return tag


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@functools.lru_cache(maxsize=65536)  # registries repeat themselves, and parsing is slow
def read_address(text: str) -> str:
    """`text` as an IP address in its canonical form. Raises MetadataError."""
    try:
        address = ip_address(text)
    except ValueError:
        raise MetadataError(f"{_short(text)} is not an IP address; host names are not resolved") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise MetadataError(f"{text} has a zone; that means something on one machine only")
    if address.is_unspecified or address.is_multicast:
        raise MetadataError(f"{text} is not the address of one machine")
    return str(address)


def read_protocol(text: str) -> tuple[Protocol, str]:
    """The protocol and a warning (or ""); what is not known is unknown. `h2c` is HTTP/2 without TLS."""
    try:
        return PROTOCOL_ALIASES.get(text) or Protocol(text), ""
    except ValueError:
        known = "http1, http2 (or h2c), grpc or tcp"
        return Protocol.UNKNOWN, f"protocol {_short(text)} is not known; write {known}"


def read_grpc_port(metadata: Mapping[str, str], keys: Sequence[str]) -> tuple[int | None, str]:
    """The port of a gRPC server that runs beside the registered port (None: there is none), and a warning."""
    for key in keys:
        text = metadata.get(key, "").strip()
        if not text:
            continue
        if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535:
            return int(text), ""
        return None, f"{key} is {_short(text)}; write the port of the gRPC server, from 1 to 65535"
    return None, ""


def read_application(metadata: Mapping[str, str], service: str) -> str:
    """The application of an instance: the first key that is not empty, else the service's name."""
    for key in APPLICATION_KEYS:
        if metadata.get(key):
            return metadata[key]
    return service


def read_instance(raw: RawInstance, service: str, conventions: Conventions) -> tuple[Instance, list[str]]:
    """The instance and warnings. Raises MetadataError where it is refused."""
    address = read_address(raw.address)
    if not 1 <= raw.port <= 65535:
        raise MetadataError(f"port {raw.port} is not between 1 and 65535")
    if not math.isfinite(raw.weight) or raw.weight < 0:
        raise MetadataError(f"weight {raw.weight} is not a number of 0 or more")
    try:
        "".join((*raw.metadata, *raw.metadata.values())).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell: no proxy could be told of it
        raise MetadataError("its metadata holds characters that are no text; write it anew") from None
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
            application=read_application(raw.metadata, service),
            weight=raw.weight,
            health=Health.HEALTHY if raw.healthy else Health.UNHEALTHY,
            protocol=protocol,
            metadata=MappingProxyType(dict(raw.metadata)),
        ),
        [warning for warning in (tag_warning, protocol_warning, port_warning) if warning],
    )


def read_service(raw: RawService, conventions: Conventions = Conventions()) -> Reading:
    """Every instance taken or refused one by one. Disabled ones and those of weight 0 are out, without a
    word.

    One ip:port given several times is taken once if all agree on the tag, else not at all: which of them is
    true cannot be known.
    """
    taken: dict[tuple[str, int], Instance] = {}
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
            continue
        if first.tag == instance.tag:
            refused.append(Refused(*key, "given more than once; one of them is used"))
        else:
            clashing.setdefault(key, {first.tag or "base"}).add(instance.tag or "base")
    for key, tags in clashing.items():
        del taken[key]
        refused.append(Refused(*key, f"given more than once, with different tags: {', '.join(sorted(tags))}"))
    protocol, warning = read_protocol(raw.protocol)
    if warning:
        warnings.add(warning)
    return Reading(
        instances=tuple(taken[key] for key in sorted(taken)),
        refused=tuple(sorted(refused, key=lambda r: (r.address, r.port, r.reason))),
        warnings=tuple(sorted(warnings)),
        protocol=protocol,
    )
