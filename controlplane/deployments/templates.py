"""Pod templates of a base Deployment and its canary: how they differ, what base gets of the canary. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is used of a Deployment (apps/v1). `version` is its resourceVersion."""

    namespace: str
    name: str
    version: str
    generation: int
    spec: Json = field(hash=False)
    status: Json = field(hash=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def template(self) -> Json:
        return self.spec["template"]

    @property
    def replicas(self) -> int:
        """How many pods are wanted."""
        return self.spec.get("replicas", 1)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is of the Deployment, in its namespace."""
        selector = self.spec["selector"]
        wanted = cast("Mapping[str, str]", selector.get("matchLabels") or {})
        if any(labels.get(name) != value for name, value in wanted.items()):
            return False
        return all(_meets(one, labels) for one in selector.get("matchExpressions") or ())


def read(found: Json) -> Deployment:
    """A Deployment as the API server sends it. Raises LookupError."""
    metadata = found["metadata"]
    return Deployment(
        metadata["namespace"],
        metadata["name"],
        metadata["resourceVersion"],
        metadata["generation"],
        found["spec"],
        found.get("status") or {},
    )


def _meets(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def images(template: Json) -> dict[str, str]:
    """The image of each container, init containers included, by name."""
    spec = template["spec"]
    every = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return {one["name"]: one.get("image", "") for one in every}


def merged(base: Deployment, canary: Deployment, tells_tag: Callable[[str], bool]) -> dict[str, Any]:
    """The template of the canary for the base Deployment: without the tag, and with the labels that tell the
    pods of the two apart as base has them.
    """
    template: dict[str, Any] = copy.deepcopy(dict(canary.template))
    metadata: dict[str, Any] = template.get("metadata") or {}
    own: Mapping[str, str] = (base.template.get("metadata") or {}).get("labels") or {}
    apart = {*_selected(base), *_selected(canary)}
    labels = {
        name: value
        for name, value in (metadata.get("labels") or {}).items()
        if not tells_tag(name) and name not in apart
    }
    labels |= {name: own[name] for name in sorted(apart) if name in own and not tells_tag(name)}
    annotations = {
        name: value for name, value in (metadata.get("annotations") or {}).items() if not tells_tag(name)
    }
    metadata = {name: value for name, value in metadata.items() if name not in ("labels", "annotations")}
    metadata |= {"labels": labels} | ({"annotations": annotations} if annotations else {})
    return {**template, "metadata": metadata}


def _selected(one: Deployment) -> set[str]:
    selector = one.spec["selector"]
    expressions = {expression["key"] for expression in selector.get("matchExpressions") or ()}
    return {*(selector.get("matchLabels") or {}), *expressions}


def differences(base: Deployment, canary: Deployment, version_label: str) -> Iterator[str]:
    """What a finished promotion would change for users: other images, another version."""
    ours, theirs = images(base.template), images(canary.template)
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            yield (
                f"container {name} of Deployment {base} has {ours.get(name, 'no image')}, that of {canary} "
                f"has {theirs.get(name, 'none')}"
            )
    mine, other = (_label(one, version_label) for one in (base, canary))
    if mine != other:
        said = f"{version_label} {mine or 'nothing'}, {canary} says {other or 'nothing'}"
        yield f"Deployment {base} says {said}"


def _label(one: Deployment, name: str) -> str:
    return ((one.template.get("metadata") or {}).get("labels") or {}).get(name, "")


def rolling(one: Deployment) -> str:
    """What the rollout of a Deployment waits for, as `kubectl rollout status` does; "" if it is done."""
    if one.spec.get("paused"):
        return f"Deployment {one} is paused: kubectl rollout resume deployment/{one.name} -n {one.namespace}"
    status, wanted = one.status, one.replicas
    if status.get("observedGeneration", 0) < one.generation:
        return f"Deployment {one}: its change has not been seen yet"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted:
        return f"Deployment {one}: {updated} of {wanted} replicas are of the new version"
    if status.get("replicas", 0) > updated:
        return f"Deployment {one}: {status['replicas'] - updated} replicas of the old version are left"
    if available < updated:
        return f"Deployment {one}: {available} of {updated} new replicas are available"
    return ""


def failed(one: Deployment) -> str:
    """Why the rollout does not go on; "" if it may."""
    if one.status.get("observedGeneration", 0) < one.generation:
        return ""
    for condition in one.status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f"the rollout of Deployment {one} has failed: {condition.get('message', '')}"
    return ""


def mentions(template: Json, tag: str) -> list[str]:
    """Where the template says the tag outside of its labels and annotations, such as in a variable."""
    word = re.compile(rf"(?<![\w.-]){re.escape(tag)}(?![\w.-])")

    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, str):
            if word.search(value):
                yield path
        elif isinstance(value, Mapping):
            for name, one in cast("Mapping[str, Any]", value).items():
                yield from walk(one, f"{path}.{name}")
        elif isinstance(value, list):
            for index, one in enumerate(cast("list[Any]", value)):
                yield from walk(one, f"{path}[{index}]")

    return list(walk(template["spec"], "spec.template.spec"))
