"""The webhook, called by a real API server: which pods get a sidecar, and what it is."""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kubernetes.install import CONFIGURATION, MANIFESTS, Injector, injector, objects, pods
from tests.kubernetes.server import ApiError, KubeServer

pytestmark = [pytest.mark.kubernetes]

_NUMBERS = itertools.count(1)
CA = "-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n"
APP = {"msePilotCreateAppName": "spring-cloud-a"}
ON, OFF = {"laneway.dev/inject": "enabled"}, {"laneway.dev/inject": "disabled"}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def webhook(installed: KubeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    directory = tmp_path_factory.mktemp("inject")
    (directory / "ca.pem").write_text(CA)
    with injector(installed, directory, "--xds-ca", str(directory / "ca.pem")) as one:
        yield one


class Space:
    """A namespace with labels."""

    def __init__(self, server: KubeServer, labels: dict[str, str]) -> None:
        self.server = server
        self.name = f"inject-{next(_NUMBERS)}"
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.name, "labels": labels}})

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        return self.server.call("POST", f"/api/v1/namespaces/{self.name}/pods", pod)

    def pod(self, name: str, labels: dict[str, str], **more: Any) -> dict[str, Any]:
        """Create a pod. Returns it as it was stored."""
        annotations = more.pop("annotations", {})
        container = {"name": "app", "image": "none", "ports": [{"containerPort": 20001}]}
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        return self.create(
            {
                "metadata": {"name": name, "labels": labels, "annotations": annotations},
                "spec": {"containers": [container], **more},
            }
        )


def enabled(server: KubeServer, restricted: bool = False) -> Space:
    return Space(server, ON | (RESTRICTED if restricted else {}))


def names(pod: dict[str, Any]) -> list[str]:
    return [one["name"] for one in pod["spec"].get("initContainers", [])]


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container["env"]}


BOTH = ["laneway-init", "laneway-sidecar"]


def test_a_pod_of_an_enabled_namespace_gets_a_sidecar(webhook: Injector) -> None:
    """Pod Security `restricted` takes it, sidecar included."""
    space = enabled(webhook.server, restricted=True)
    pod = space.pod("a", {**APP, "alicloud.service.tag": "gray"}, initContainers=None)
    assert names(pod) == BOTH
    first, sidecar = pod["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["image"] == "envoyproxy/envoy:v1.40.0"
    said = variables(first)
    assert said["APPLICATION"] == "spring-cloud-a"
    assert said["SERVICE"] == "spring-cloud-a:20001:20001"
    assert (said["TAG"], said["CAPTURE"], said["XDS_CA_PEM"]) == ("gray", "proxy", CA)
    assert said["XDS"] == "laneway.laneway.svc:18000"
    assert variables(pod["spec"]["containers"][0])["http_proxy"] == "http://127.0.0.1:15001"
    assert pod["metadata"]["annotations"]["laneway.dev/injected"] == "envoyproxy/envoy:v1.40.0"


def test_who_is_asked(webhook: Injector) -> None:
    """The label of the namespace, then that of the pod; a disabled namespace stays without."""
    server = webhook.server
    asked, silent, refuses = enabled(server), Space(server, {}), Space(server, OFF)
    assert names(asked.pod("plain", APP)) == BOTH
    assert names(asked.pod("out", APP | OFF)) == []
    assert names(asked.pod("in", APP | ON)) == BOTH
    assert names(silent.pod("plain", APP)) == []
    assert names(silent.pod("in", APP | ON)) == BOTH
    assert names(refuses.pod("in", APP | ON)) == []


def test_a_pod_may_say_more(webhook: Injector) -> None:
    """Its own init containers come later, and may call through the sidecar."""
    space = enabled(webhook.server)
    pod = space.pod(
        "a",
        APP,
        annotations={
            "laneway.dev/capture": "redirect",
            "laneway.dev/services": "sc-a:20001, sc-a-admin:20002:30002",
            "laneway.dev/certificates": "a-tls",
            "laneway.dev/exclude-outbound-ports": "8848, 9848",
        },
        initContainers=[{"name": "migrate", "image": "none"}],
        volumes=[{"name": "own", "emptyDir": {}}],
    )
    assert names(pod) == [*BOTH, "migrate"]
    first = pod["spec"]["initContainers"][0]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    said = variables(first)
    assert said["SERVICE"] == "sc-a:20001:20001 sc-a-admin:20002:30002"
    assert (said["INBOUND_PORTS"], said["OUTBOUND_EXCLUDE_PORTS"]) == ("20001,20002", "8848,9848")
    assert (said["XDS_CA"], said["XDS_KEY"]) == ("/certs/ca.crt", "/certs/tls.key")
    assert "XDS_CA_PEM" not in said
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert volumes.keys() == {"own", "laneway-bootstrap", "laneway-certificates"}
    assert volumes["laneway-certificates"]["secret"]["secretName"] == "a-tls"
    assert "env" not in pod["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("labels", "annotations", "said"),
    [
        ({}, {}, "the pod names no application: give it one of the labels msePilotCreateAppName, app"),
        (APP | {"alicloud.service.tag": ""}, {}, "alicloud.service.tag is empty"),
        (APP, {"laneway.dev/capture": "cni"}, "laneway.dev/capture is 'cni'; write proxy or redirect"),
        (APP, {"laneway.dev/services": "sc-a"}, "laneway.dev/services has 'sc-a'; write NAME:PORT"),
        (APP, {"laneway.dev/services": "sc-a:0"}, "'0' is not a port from 1 to 65535"),
        (APP, {"laneway.dev/service": "sc-a:1"}, "laneway.dev/service is not known; known are"),
        (APP, {"laneway.dev/app-address": "localhost"}, "'localhost' is not an IP address"),
    ],
)
def test_a_pod_that_is_wrong_is_refused(
    webhook: Injector, labels: dict[str, str], annotations: dict[str, str], said: str
) -> None:
    space = enabled(webhook.server)
    with pytest.raises(ApiError) as refusal:
        space.server.raw(
            "POST",
            f"/api/v1/namespaces/{space.name}/pods",
            {
                "metadata": {"name": "a", "labels": labels, "annotations": annotations},
                "spec": {"containers": [{"name": "c", "image": "none", "ports": [{"containerPort": 20001}]}]},
            },
        )
    assert refusal.value.code == 422
    assert said in refusal.value.text


def test_a_pod_in_the_network_of_its_node_is_left_alone(webhook: Injector) -> None:
    assert names(enabled(webhook.server).pod("host", APP, hostNetwork=True)) == []


def test_the_demo_with_written_sidecars_is_what_the_injector_makes(webhook: Injector) -> None:
    """Chart and injector describe one sidecar; only the way of the CA into the pod differs."""
    space = enabled(webhook.server)
    written = pods(objects(MANIFESTS / "demo"))
    assert len(written) == 5
    for name, pod in pods(objects(MANIFESTS / "demo-injected")).items():
        pod["metadata"]["annotations"]["laneway.dev/capture"] = "redirect"
        for variable in pod["spec"]["containers"][0]["env"]:
            if variable["name"] == "LISTEN":
                variable["value"] = "0.0.0.0"
        injected = space.create(pod)
        wanted = written[name]
        del wanted["metadata"]["labels"]["laneway.dev/inject"]
        wanted["metadata"]["name"] += "-written"
        wanted["metadata"]["labels"]["laneway.dev/inject"] = "disabled"
        stored = space.create(wanted)
        assert _comparable(injected["spec"]) == _comparable(stored["spec"]), name


def _comparable(spec: dict[str, Any]) -> Any:
    """Without the CA, the order of variables and what the API server adds to images."""
    for container in [*spec["initContainers"], *spec["containers"]]:
        container["env"] = sorted(
            (str(one) for one in container.get("env", []) if not one["name"].startswith("XDS_CA")),
        )
        container["volumeMounts"] = sorted(
            str(one) for one in container["volumeMounts"] if one["name"] != "laneway-certificates"
        )
    spec["volumes"] = [one for one in spec["volumes"] if one["name"] != "laneway-certificates"]
    return spec


async def test_without_an_injector_no_pod_is_created(webhook: Injector) -> None:
    """failurePolicy Fail: a canary without a sidecar would take part in no lane and nobody would know."""
    space = enabled(webhook.server)
    webhook.stop()
    try:
        with pytest.raises(ApiError) as refusal:
            await asyncio.to_thread(space.pod, "a", APP)
        assert refusal.value.code == 500
        assert "failed calling webhook" in refusal.value.text
        assert names(space.pod("out", APP | OFF)) == []
    finally:
        webhook.start()
    assert names(space.pod("a", APP)) == BOTH


def test_the_port_tells_whether_it_is_ready_and_counts(webhook: Injector) -> None:
    enabled(webhook.server).pod("a", APP)
    trusted = webhook.server.call("GET", CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"]
    context = ssl.create_default_context(cadata=base64.b64decode(trusted).decode())
    with httpx.Client(
        base_url=f"https://127.0.0.1:{webhook.port}", verify=context, trust_env=False
    ) as client:
        assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
        counted = client.get("/metrics").text
        assert 'laneway_injection_reviews_total{result="injected"}' in counted
        assert "laneway_injection_certificate_expires_seconds 1" in counted
        assert client.post("/inject", content=b"{").status_code == 400
        assert client.post("/inject", json={"kind": "AdmissionReview"}).status_code == 400
        assert client.post("/inject", content=b" " * (5 << 20)).status_code == 413
        assert 'laneway_injection_reviews_total{result="unreadable"} 3' in client.get("/metrics").text
