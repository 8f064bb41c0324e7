"""What a pod says of its sidecar: application and tag as instances do, the rest in annotations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controlplane.registry.metadata import (
    Conventions,
    MetadataError,
    read_address,
    read_application,
    read_tag,
)

Json = Mapping[str, Any]
Capture = Literal["proxy", "redirect"]

PREFIX = "laneway.dev/"
CAPTURE = f"{PREFIX}capture"
SERVICES = f"{PREFIX}services"
APP_ADDRESS = f"{PREFIX}app-address"
CERTIFICATES = f"{PREFIX}certificates"
EXCLUDED_PORTS = f"{PREFIX}exclude-outbound-ports"
INJECTED = f"{PREFIX}injected"
"""Set on a pod that got a sidecar: the image of its Envoy."""

KNOWN = (CAPTURE, SERVICES, APP_ADDRESS, CERTIFICATES, EXCLUDED_PORTS, INJECTED)
LOOPBACK = "127.0.0.1"
MOST_SERVICES = 100
"""As many as the node metadata of a sidecar may have."""


class PodError(ValueError):
    """The pod cannot get a sidecar; the text says which field is wrong, and what to write."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the sidecar of one pod has to be. `services` are `NAME:PORT:APP_PORT`.

    `tag` is "" for base. `certificates` names a Secret with `tls.crt`, `tls.key` and `ca.crt`, or is "".
    `app_address` is where the application listens, "" where that is the address of the pod.
    """

    application: str
    tag: str
    capture: Capture
    services: tuple[str, ...]
    app_address: str
    certificates: str
    excluded_ports: tuple[int, ...]


def wishes(pod: Json, capture: Capture, conventions: Conventions) -> Wishes:
    """What `pod` says. `capture` is the way where it says none. Raises PodError."""
    metadata = pod.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for key in annotations:
        if key.startswith(PREFIX) and key not in KNOWN:
            raise PodError(f"the annotation {key} is not known; known are {', '.join(KNOWN)}")
    said = {**annotations, **labels}
    try:
        tag, _ = read_tag(said, conventions.tag_keys, conventions.base_tags)
    except MetadataError as error:
        raise PodError(str(error)) from None
    application = read_application(said, "", conventions.application_keys)
    if not application:
        keys = ", ".join(conventions.application_keys)
        raise PodError(f"the pod names no application: give it one of the labels {keys}")
    chosen = _capture(annotations, capture)
    return Wishes(
        application,
        tag or "",
        chosen,
        _services(annotations, pod, application),
        _app_address(annotations) if chosen == "proxy" else "",
        str(annotations.get(CERTIFICATES) or ""),
        tuple(
            _port(one.strip(), f"the annotation {EXCLUDED_PORTS}")
            for one in str(annotations.get(EXCLUDED_PORTS) or "").split(",")
            if one.strip()
        ),
    )


def _capture(annotations: Json, default: Capture) -> Capture:
    said = annotations.get(CAPTURE, default)
    if said == "proxy" or said == "redirect":
        return said
    raise PodError(f"the annotation {CAPTURE} is {said!r}; write proxy or redirect")


def _app_address(annotations: Json) -> str:
    said = str(annotations.get(APP_ADDRESS) or LOOPBACK)
    try:
        return read_address(said)
    except MetadataError as error:
        raise PodError(f"the annotation {APP_ADDRESS}: {error}") from None


def _services(annotations: Json, pod: Json, application: str) -> tuple[str, ...]:
    """From the annotation, else one for each TCP port of the containers."""
    if said := str(annotations.get(SERVICES) or "").split(","):
        found = [_service(one.strip()) for one in said if one.strip()]
        if found:
            return _checked(found)
    ports = dict.fromkeys(
        port["containerPort"]
        for container in (pod.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP" and port.get("name") not in _NOT_SERVED
    )
    if not ports:
        raise PodError(
            f"the containers of the pod have no ports: give them, or the annotation {SERVICES}: NAME:PORT"
        )
    return _checked([f"{application}:{port}:{port}" for port in ports])


_NOT_SERVED = ("metrics", "prometheus")
"""Names of ports that callers reach directly: what reads metrics is in no lane."""


def _service(said: str) -> str:
    name, *ports = said.split(":")
    where = f"the annotation {SERVICES} has {said!r}"
    if not name or not 1 <= len(ports) <= 2:
        raise PodError(f"{where}; write NAME:PORT or NAME:PORT:PORT_OF_THE_APPLICATION, separated by commas")
    first, last = _port(ports[0], where), _port(ports[-1], where)
    return f"{name}:{first}:{last}"


def _checked(services: list[str]) -> tuple[str, ...]:
    if len(services) > MOST_SERVICES:
        raise PodError(f"the pod has {len(services)} services; a sidecar takes at most {MOST_SERVICES}")
    return tuple(services)


def _port(said: str, where: str) -> int:
    if said.isascii() and said.isdecimal() and len(said) <= 5 and 1 <= int(said) <= 65535:
        return int(said)
    raise PodError(f"{where}: {said!r} is not a port from 1 to 65535")
