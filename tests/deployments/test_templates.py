"""Pod templates of base and canary, without an API server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlplane.deployments.templates import (
    Deployment,
    differences,
    failed,
    images,
    mentions,
    merged,
    read,
    rolling,
)
from controlplane.registry.metadata import Conventions

TELLS = Conventions().tells_tag


def deployment(name: str, image: str, tag: str = "", **status: Any) -> Deployment:
    labels = {"app": name, "msePilotCreateAppName": "a", "version": image.rpartition(":")[2]}
    if tag:
        labels["alicloud.service.tag"] = tag
    template = {
        "metadata": {"labels": labels, "annotations": {"x": "1", f"opensergo.io/canary-{tag or 'x'}": tag}},
        "spec": {
            "containers": [{"name": "c", "image": image}],
            "initContainers": [{"name": "i", "image": "i"}],
        },
    }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"namespace": "ns", "name": name, "resourceVersion": "7", "generation": 2}
    return read({"metadata": metadata, "spec": spec, "status": {"observedGeneration": 2, **status}})


BASE, GRAY = deployment("a", "x:1"), deployment("a-gray", "x:2", "gray")


def test_base_gets_the_template_of_the_canary_without_what_makes_it_one() -> None:
    before = copy.deepcopy(GRAY.template)
    wanted = merged(BASE, GRAY, TELLS)
    assert GRAY.template == before
    labels = {"app": "a", "msePilotCreateAppName": "a", "version": "2"}
    assert wanted["metadata"] == {"labels": labels, "annotations": {"x": "1"}}
    assert images(wanted) == {"c": "x:2", "i": "i"}
    assert BASE.selects(wanted["metadata"]["labels"])
    assert not GRAY.selects(wanted["metadata"]["labels"])
    # Once more changes nothing.
    done = Deployment("ns", "a", "8", 3, {**BASE.spec, "template": wanted}, {})
    assert merged(done, GRAY, TELLS) == wanted
    assert not list(differences(done, GRAY, "version"))


def test_what_differs() -> None:
    said = list(differences(BASE, GRAY, "version"))
    assert said == [
        "container c of Deployment ns/a has x:1, that of ns/a-gray has x:2",
        "Deployment ns/a says version 1, ns/a-gray says 2",
    ]


def test_the_tag_elsewhere_in_the_template_is_found() -> None:
    template = {
        "spec": {"containers": [{"env": [{"name": "TAG", "value": "-Dtag=gray"}], "args": ["grayer"]}]}
    }
    assert mentions(template, "gray") == ["spec.template.spec.containers[0].env[0].value"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"observedGeneration": 1}, "has not been seen yet"),
        ({"updatedReplicas": 1}, "1 of 3 replicas are of the new version"),
        ({"updatedReplicas": 3, "replicas": 4}, "1 replicas of the old version are left"),
        ({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}, "2 of 3 new replicas are available"),
        ({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}, ""),
    ],
)
def test_how_far_a_rollout_is(status: dict[str, Any], said: str) -> None:
    found = rolling(deployment("a", "x:1", **status))
    assert said in found
    assert bool(found) == bool(said)


def test_a_rollout_that_failed() -> None:
    condition = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "no image"}
    assert "no image" in failed(deployment("a", "x:1", conditions=[condition]))
    assert not failed(deployment("a", "x:1", conditions=[condition], observedGeneration=1))
