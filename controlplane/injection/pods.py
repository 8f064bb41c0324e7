"""The pod with its sidecar: an init step, a stock Envoy as a native sidecar, and what they share. Pure.

A native sidecar is an init container that is restarted always: it is up before the application starts and
stays until the application has ended (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from controlplane.injection.annotations import INJECTED, Capture, Wishes, wishes
from controlplane.registry.metadata import Conventions

Json = Mapping[str, Any]

INIT, SIDECAR = "laneway-init", "laneway-sidecar"
BOOTSTRAP, CERTIFICATES = "laneway-bootstrap", "laneway-certificates"
USER = 1337
"""The user of the Envoy, whose connections are not redirected."""
METRICS = 15090
EGRESS = "http://127.0.0.1:15001"
NOT_PROXIED = "localhost,127.0.0.1,::1"

RESOURCES: Json = MappingProxyType(
    {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
)
INIT_RESOURCES: Json = MappingProxyType(
    {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
)
_LOCKED: Json = MappingProxyType(
    {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": USER,
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
)
_READY = (
    "exec 3<>/dev/tcp/127.0.0.1/15000 && "
    "printf 'GET /ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && "
    "grep -q LIVE <&3"
)


@dataclass(frozen=True, slots=True)
class Sidecars:
    """What all sidecars have in common.

    `xds` is host:port of the control plane as pods reach it. `ca` (PEM) signs its certificate; "" means plain
    text, unless the pod has certificates of its own. `capture` is what a pod gets that asks for none.
    """

    xds: str
    envoy_image: str
    init_image: str
    capture: Capture = "proxy"
    ca: str = ""
    pull_policy: str = "IfNotPresent"
    resources: Json = field(default_factory=lambda: RESOURCES)
    conventions: Conventions = Conventions()  # noqa: RUF009


def injected(pod: Json) -> bool:
    """Whether the pod has a sidecar."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any(one.get("name") == SIDECAR for one in containers)


def patch(pod: Json, sidecars: Sidecars) -> list[dict[str, Any]]:
    """The JSON Patch (RFC 6902) that gives `pod` its sidecar. Raises PodError.

    Lists are replaced whole: `add` does that to a member that exists.
    """
    wanted = wishes(pod, sidecars.capture, sidecars.conventions)
    metadata, spec = pod.get("metadata") or {}, pod["spec"]
    annotations = {**(metadata.get("annotations") or {}), INJECTED: sidecars.envoy_image}
    first = [_init(wanted, sidecars), _sidecar(wanted, sidecars)]
    changes: dict[str, Any] = {
        "/metadata/annotations": annotations,
        "/spec/volumes": [*(spec.get("volumes") or ()), *_volumes(wanted)],
        "/spec/initContainers": [*first, *(spec.get("initContainers") or ())],
    }
    if wanted.capture == "proxy":
        changes["/spec/containers"] = [_proxied(one) for one in spec["containers"]]
    return [{"op": "add", "path": path, "value": value} for path, value in changes.items()]


def _volumes(wanted: Wishes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": BOOTSTRAP, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}]
    if wanted.certificates:
        # The kubelet may make root the owner: both users are in no group of the volume, so all may read.
        found.append(
            {"name": CERTIFICATES, "secret": {"secretName": wanted.certificates, "defaultMode": 0o444}}
        )
    return found


def _mounts(wanted: Wishes, writes: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": BOOTSTRAP, "mountPath": "/bootstrap"}]
    if not writes:
        found[0]["readOnly"] = True
    if wanted.certificates:
        found.append({"name": CERTIFICATES, "mountPath": "/certs", "readOnly": True})
    return found


def _init(wanted: Wishes, sidecars: Sidecars) -> dict[str, Any]:
    environment = {
        "NAME": "sidecar",
        "XDS": sidecars.xds,
        "APPLICATION": wanted.application,
        "SERVICE": " ".join(wanted.services),
        "CAPTURE": wanted.capture,
        "METRICS": f"0.0.0.0:{METRICS}",
    }
    if wanted.tag:
        environment["TAG"] = wanted.tag
    if wanted.app_address:
        environment["APP_ADDRESS"] = wanted.app_address
    if wanted.capture == "redirect":
        environment["INBOUND_PORTS"] = ",".join(one.split(":")[1] for one in wanted.services)
        if wanted.excluded_ports:
            environment["OUTBOUND_EXCLUDE_PORTS"] = ",".join(map(str, wanted.excluded_ports))
    if wanted.certificates:
        environment |= {
            "XDS_CA": "/certs/ca.crt",
            "XDS_CERTIFICATE": "/certs/tls.crt",
            "XDS_KEY": "/certs/tls.key",
        }
    elif sidecars.ca:
        environment["XDS_CA_PEM"] = sidecars.ca
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "ADDRESS": "status.podIP",
    }
    listed: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in fields.items()
    ]
    listed.append({"name": "NODE_ID", "value": "$(POD_NAME).$(POD_NAMESPACE)"})
    listed += [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "name": INIT,
        "image": sidecars.init_image,
        "imagePullPolicy": sidecars.pull_policy,
        "env": listed,
        "resources": _plain(INIT_RESOURCES),
        "securityContext": _init_security(wanted),
        "volumeMounts": _mounts(wanted, writes=True),
    }


def _init_security(wanted: Wishes) -> dict[str, Any]:
    """Only the redirection of connections needs root and NET_ADMIN."""
    if wanted.capture == "proxy":
        return _plain(_LOCKED)
    return _plain(_LOCKED) | {
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "runAsUser": 0,
    }


def _sidecar(wanted: Wishes, sidecars: Sidecars) -> dict[str, Any]:
    return {
        "name": SIDECAR,
        "image": sidecars.envoy_image,
        "imagePullPolicy": sidecars.pull_policy,
        "restartPolicy": "Always",
        "command": ["envoy"],
        "args": [
            "--config-path",
            "/bootstrap/sidecar.yaml",
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ],
        "ports": [{"name": "laneway-metrics", "containerPort": METRICS, "protocol": "TCP"}],
        "resources": _plain(sidecars.resources),
        "securityContext": _plain(_LOCKED),
        # The application starts when the Envoy has its configuration, or has waited for it in vain.
        "startupProbe": {
            "exec": {"command": ["bash", "-c", _READY]},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 60,
        },
        "volumeMounts": _mounts(wanted, writes=False),
    }


def _proxied(container: Json) -> dict[str, Any]:
    """The container with the variables that lead its calls to the sidecar, unless it sets them itself."""
    environment = list(container.get("env") or ())
    named = {one.get("name") for one in environment}
    wanted = {
        "HTTP_PROXY": EGRESS,
        "http_proxy": EGRESS,
        "NO_PROXY": NOT_PROXIED,
        "no_proxy": NOT_PROXIED,
    }
    environment += [{"name": name, "value": value} for name, value in wanted.items() if name not in named]
    return {**container, "env": environment}


def _plain(value: Json) -> dict[str, Any]:
    """A copy that may be changed and written as JSON."""
    return json.loads(json.dumps(value, default=dict))
