"""Reviews of pods without an API server: what it cannot be made to send, and when certificates are due."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from controlplane.injection import pairs
from controlplane.injection.pods import Sidecars
from controlplane.injection.port import Webhook
from controlplane.injection.reviews import ReviewError, answer
from controlplane.registry.metadata import Conventions

SIDECARS = Sidecars("laneway.laneway.svc:18000", "envoy", "init")


def review(labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    ports = [{"containerPort": 20001}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 20001}]
    pod = {
        "kind": "Pod",
        "metadata": {"generateName": "a-", "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "x", "ports": ports}], **spec},
    }
    request = {"uid": "u-1", "namespace": "shop", "object": pod}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def environment(made: dict[str, Any]) -> dict[str, str]:
    patch = json.loads(base64.b64decode(made["response"]["patch"]))
    first = next(one["value"] for one in patch if one["path"] == "/spec/initContainers")[0]
    return {one["name"]: one.get("value", "") for one in first["env"]}


def test_an_answer_names_what_it_answers() -> None:
    made = answer(review({"app": "shop"}), SIDECARS)
    assert (made.verdict, made.pod) == ("injected", "shop/a-")
    assert made.review["response"]["uid"] == "u-1"
    assert environment(made.review)["SERVICE"] == "shop:20001:20001"  # one port, TCP alone


def test_a_pod_gets_one_sidecar() -> None:
    has = [{"name": "laneway-sidecar", "image": "x"}]
    assert answer(review({"app": "a"}, initContainers=has), SIDECARS).verdict == "left"


def test_tags_are_read_as_the_registry_reads_them() -> None:
    """With the same settings: a value that means base is no tag."""
    own = Sidecars("x:1", "envoy", "init", conventions=Conventions(("color",), frozenset({"blue"})))
    assert environment(answer(review({"app": "a", "color": "green"}), own).review)["TAG"] == "green"
    assert "TAG" not in environment(answer(review({"app": "a", "color": "blue"}), own).review)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"apiVersion": "admission.k8s.io/v1beta1", "request": {}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u", "object": {"kind": "Service"}}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"object": {"kind": "Pod", "spec": {}}}},
    ],
)
def test_what_is_no_review_of_a_pod(wrong: object) -> None:
    with pytest.raises(ReviewError):
        answer(wrong, SIDECARS)


def test_when_certificates_are_due() -> None:
    now = datetime.now(UTC)
    first = pairs.current(None, ["a.svc"], now)
    assert pairs.read(first.data()) == first
    assert pairs.current(first, ["a.svc"], now + timedelta(days=19)) is first
    renewed = pairs.current(first, ["a.svc"], now + timedelta(days=21))
    assert renewed.authorities == first.authorities
    assert renewed.serving != first.serving
    assert pairs.current(first, ["b.svc"], now).serving != first.serving
    later = pairs.current(first, ["a.svc"], now + timedelta(days=250))
    assert later.authorities[1:] == first.authorities
    assert pairs.current(later, ["a.svc"], now).authorities == later.authorities


@pytest.mark.parametrize("key", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
def test_a_secret_that_lacks_something_counts_as_empty(key: str) -> None:
    data = pairs.current(None, ["a.svc"], datetime.now(UTC)).data()
    assert pairs.read(data | {key: ""}) is None
    assert pairs.read({name: value for name, value in data.items() if name != key}) is None
    assert pairs.read(None) is None


@pytest.mark.parametrize(("left", "status"), [(60, 200), (-60, 503)])
async def test_an_injector_whose_certificate_has_ended_is_not_ready(left: float, status: int) -> None:
    webhook = Webhook(lambda: SIDECARS, lambda: time.time() + left)
    transport = httpx.ASGITransport(webhook.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://inject") as client:
        assert (await client.get("/readyz")).status_code == status
        assert (await client.get("/healthz")).status_code == 200
