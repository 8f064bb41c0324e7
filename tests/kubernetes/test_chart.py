"""deploy/kubernetes: the chart, what is rendered of it, and what a real API server says to it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.registry.kubernetes import KubernetesConfig
from tests.cli.ports import wait_for
from tests.cli.served import served
from tests.kubernetes import modules, programs
from tests.kubernetes.install import (
    CHART,
    DEPLOY,
    MANIFESTS,
    NAMESPACE,
    kubeconfig,
    kubectl,
    objects,
    pods,
    rendered,
)
from tests.kubernetes.server import MERGE, ApiError, KubeServer
from tests.kubernetes.tools import Admin, watching

sys.path.insert(0, str(DEPLOY.parents[1] / "tools"))

import manifests

pytestmark = [pytest.mark.kubernetes]

EDGE = {
    "gateway": "shop",
    "replicas": 1,
    "serviceType": "NodePort",
    "ports": [{"name": "https", "port": 443, "listener": 8443}],
    "certificatesSecret": "edge-tls",
    "concurrency": 1,
    "resources": {},
}
CERT_MANAGER = ("xds.tls.mode=certManager", "injector.certificate=certManager")
VARIANTS = {
    "plaintext": ("xds.tls.mode=plaintext", "namespace.create=true"),
    "mtls": ("xds.tls.clientCertificates=true", f"edges=[{json.dumps(EDGE)}]"),
    "exposed": ("admin.expose=true", "admin.tlsSecret=admin-tls", "admin.tokensSecret=tokens"),
    "namespaces": ("controlPlane.namespaces={default}",),
    "selector": ("controlPlane.namespaceSelector=lanes=on",),
    "nacos": ("controlPlane.store=nacos", "controlPlane.nacos.servers={nacos.nacos.svc:8848}"),
    "deployments": ("controlPlane.deployments=replace",),
    "deployments of namespaces": (
        "controlPlane.deployments=compare",
        "controlPlane.namespaces={default}",
    ),
    "gateway-api": ("controlPlane.gatewayApi.enabled=true",),
    "cert-manager": (*CERT_MANAGER, "xds.tls.clientCertificates=true"),
    "one": ("controlPlane.replicas=1", "controlPlane.store=memory", "injector.enabled=false"),
    "proxy": ("demo.enabled=true", "demo.capture=proxy"),
    "injected": ("demo.enabled=true", "demo.sidecars=injected"),
}


def test_the_chart_is_clean() -> None:
    programs.run("helm", "lint", str(CHART), "--strict", "--kube-version", "1.37.0")


def test_the_manifests_are_what_the_chart_renders() -> None:
    """Else: `make manifests`, look at the difference, commit."""
    wanted = manifests.files(programs.program("helm"))
    written = [*MANIFESTS.rglob("*.yaml"), *(CHART / "crds").iterdir()]
    found = {path: path.read_text(encoding="utf-8") for path in written}
    assert found == wanted
    for name, settings in manifests.SETTINGS.items():
        everything = {_key(one): one for one in rendered(*settings)}
        made = {_key(one): one for one in objects(MANIFESTS / name)}
        shared = {key: everything[key] for key in made}
        assert made == shared, name
        assert name != "base" or made.keys() == everything.keys()


def _key(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("controlPlane.store=memory",),
            "set controlPlane.store to kubernetes or nacos, or controlPlane.replicas to 1",
        ),
        (("admin.expose=true",), "admin.expose needs admin.tlsSecret and admin.tokensSecret"),
        (("xds.tls.mode=none",), "value must be one of 'secret', 'certManager', 'plaintext'"),
        (("edgs=1",), "edgs"),
    ],
)
def test_values_that_make_no_sense_are_refused(settings: tuple[str, ...], said: str) -> None:
    command = ["template", "laneway", str(CHART), "--kube-version", "1.37.0"]
    for setting in settings:
        command += ["--set", setting]
    assert said in programs.run("helm", *command, fails=True)


STRICTLY = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")


@pytest.mark.parametrize("name", VARIANTS)
def test_the_api_server_takes_every_variant(installed: KubeServer, name: str) -> None:
    """Strictly: a field that it does not know is an error."""
    for crds in modules.ALL:
        if crds.name == name:
            crds.install(installed)
    found = rendered(*VARIANTS[name])
    for space in {one["metadata"].get("namespace", NAMESPACE) for one in found}:
        _namespace(installed, space)
    said = kubectl(installed, *STRICTLY, stdin=yaml.safe_dump_all(found))
    assert len(said.splitlines()) == len(found)


def test_strict_means_strict(installed: KubeServer) -> None:
    one = _named(rendered(), "PodDisruptionBudget", "laneway")
    one["spec"]["maxUnavailabel"] = 1
    assert "maxUnavailabel" in kubectl(installed, *STRICTLY, stdin=yaml.safe_dump(one), fails=True)


def _named(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(one for one in found if (one["kind"], one["metadata"]["name"]) == (kind, name))


def test_certificates_of_cert_manager() -> None:
    """cert-manager itself does not run here. Its kinds are checked strictly as a variant, above."""
    found = {_key(one): one for one in rendered(*CERT_MANAGER)}
    xds = found["Certificate", NAMESPACE, "laneway-xds"]
    assert xds["spec"]["secretName"] == "laneway-xds"
    assert "laneway.laneway.svc" in xds["spec"]["dnsNames"]
    assert found["Certificate", NAMESPACE, "laneway-inject"]["spec"]["dnsNames"] == [
        "laneway-inject.laneway.svc"
    ]
    webhook = found["MutatingWebhookConfiguration", "", "laneway-inject"]
    assert webhook["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "laneway/laneway-inject"}
    assert ("Secret", NAMESPACE, "laneway-inject") not in found
    assert not [key for key in found if key[0] in ("Role", "ClusterRole") and key[2] == "laneway-inject"]
    assert ("Certificate", NAMESPACE, "laneway-edge-xds") not in found
    with_clients = {_key(one): one for one in rendered(*CERT_MANAGER, "xds.tls.clientCertificates=true")}
    edge = with_clients["Certificate", NAMESPACE, "laneway-edge-xds"]["spec"]
    assert edge["issuerRef"] == xds["spec"]["issuerRef"]
    assert edge["uris"] == ["spiffe://cluster.local/gateway/edge"]
    pod = with_clients["Deployment", NAMESPACE, "laneway-edge"]["spec"]["template"]["spec"]
    volume = next(one for one in pod["volumes"] if one["name"] == "certificates")
    assert volume["secret"]["secretName"] == edge["secretName"]
    assert "XDS_CERTIFICATE" in {one["name"] for one in pod["initContainers"][0]["env"]}


def _namespace(server: KubeServer, name: str) -> None:
    if name not in {one["metadata"]["name"] for one in server.call("GET", "/api/v1/namespaces")["items"]}:
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def test_pod_security_restricted_takes_every_pod(installed: KubeServer) -> None:
    """But a demo whose init step redirects connections, which needs NET_ADMIN."""
    space = "strict-pods"
    _namespace(installed, space)
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    installed.call("PATCH", f"/api/v1/namespaces/{space}", restricted, MERGE)
    at = f"/api/v1/namespaces/{space}/pods"
    loose = {"containers": [{"name": "c", "image": "x"}]}
    with pytest.raises(ApiError) as refusal:
        installed.call("POST", at, {"metadata": {"name": "x"}, "spec": loose})
    assert "violates PodSecurity" in refusal.value.text
    made = pods(rendered(*VARIANTS["proxy"]))
    assert len(made) == 8
    for pod in made.values():
        installed.call("POST", at, pod)
    for name, pod in pods(rendered("demo.enabled=true")).items():
        if name.startswith("spring-cloud"):
            pod["metadata"]["name"] += "-redirect"
            with pytest.raises(ApiError) as refusal:
                installed.call("POST", at, pod)
            assert "NET_ADMIN" in refusal.value.text


def test_the_control_plane_runs_under_its_account(installed: KubeServer, tmp_path: Path) -> None:
    """With the arguments of the Deployment, but for what only a pod has."""
    deployment = _named(objects(MANIFESTS / "base"), "Deployment", "laneway")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    left_out = ("serve", "--kubernetes", "--store", "--nacos", "--xds", "--admin", "--state-dir")
    kept = [one for one in arguments if one.partition("=")[0] not in left_out and "/tls/" not in one]
    assert kept == ["--log-format=json", "--log-level=info"]
    config = kubeconfig(installed, "laneway", tmp_path / "kubeconfig")
    _namespace(installed, "run-under-rbac")
    services = "/api/v1/namespaces/run-under-rbac/services"
    service = {"metadata": {"name": "sc-run"}, "spec": {"ports": [{"port": 20001}]}}
    installed.call("POST", services, service)
    kept += ["--kubernetes", "--store", f"kubernetes:{NAMESPACE}", "--kubernetes-config", str(config)]
    with served(tmp_path, *kept) as one:
        definition = {"listeners": [{"port": 8080}]}
        assert one.http.put("/v1/gateways/of-chart", json=definition).status_code == 201
        assert one.http.delete("/v1/gateways/of-chart").status_code == 204
        kubectl(
            installed, "apply", "--server-side", "--validate=strict", "-k", str(MANIFESTS / "demo-injected")
        )
        lane = "/v1/lane-groups/order-flow/lanes/gray"
        wait_for(lambda: one.http.get(lane).status_code == 200, one.process)
        route = "/v1/gateways/edge/routes/a"
        wait_for(lambda: one.http.get(route).status_code == 200, one.process)
        assert one.http.get(route).json()["service"] == "laneway-demo/sc-a"
        found = one.http.get("/v1/services/kubernetes/run-under-rbac//sc-run")
        assert found.status_code == 200, found.text
        installed.call("POST", services, service | {"metadata": {"name": "sc-2"}})
        wait_for(
            lambda: one.http.get("/v1/services/kubernetes/run-under-rbac//sc-2").status_code == 200,
            one.process,
        )


RIGHTS = [(kind, verb) for kind in ("pods", "services", "endpointslices") for verb in ("list", "watch")]


def test_the_rights_for_the_store_are_those_that_it_asks_for() -> None:
    """tests of the store run under rbac-store.yaml."""
    asked = yaml.safe_load_all((DEPLOY / "rbac-store.yaml").read_text(encoding="utf-8"))
    wanted = _named(list(asked), "Role", "laneway-definitions")
    assert _named(objects(MANIFESTS / "base"), "Role", "laneway-definitions")["rules"] == wanted["rules"]


def test_the_rights_are_these() -> None:
    role = _named(objects(MANIFESTS / "base"), "ClusterRole", "laneway-services")
    granted = {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert granted == set(RIGHTS)


@pytest.mark.parametrize(("kind", "verb"), RIGHTS)
async def test_each_right_of_the_control_plane_is_needed(
    installed: KubeServer, admin: Admin, config: KubernetesConfig, tmp_path: Path, kind: str, verb: str
) -> None:
    """Without one verb of one kind the source says what it may not do."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    account = f"less-{kind}-{verb}"
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    await admin.call("POST", accounts, {"metadata": {"name": account}})
    whole = await admin.call("GET", f"{rbac}/clusterroles/laneway-services")
    rules = [
        {
            "apiGroups": rule["apiGroups"],
            "resources": [one],
            "verbs": [given for given in rule["verbs"] if (one, given) != (kind, verb)],
        }
        for rule in whole["rules"]
        for one in rule["resources"]
    ]
    await admin.call("POST", f"{rbac}/clusterroles", {"metadata": {"name": account}, "rules": rules})
    binding = {
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}],
    }
    await admin.call("POST", f"{rbac}/clusterrolebindings", binding)
    path = await asyncio.to_thread(kubeconfig, installed, account, tmp_path / "config")
    everything = replace(config, kubeconfig=path, namespaces=(), retry_most=0.5)
    async with watching(everything) as watch:
        await watch.until(lambda: "403" in watch.status.error, seconds=60)
        assert kind.lower() in watch.status.error.lower()
