"""What `deploy/kubernetes` installs, in a real API server: rendered, applied, and run under its accounts."""

from __future__ import annotations

import contextlib
import copy
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cli.ports import free_port, wait_for
from tests.cli.run import LANEWAY, environment
from tests.kubernetes import programs
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import through

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
CHART, MANIFESTS = DEPLOY / "chart", DEPLOY / "kustomize"
NAMESPACE, INJECT = "laneway", "laneway-inject"
STRATEGIC = "application/strategic-merge-patch+json"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{INJECT}"

Json = dict[str, Any]


def kubectl(server: KubeServer, *arguments: str, stdin: str = "", fails: bool = False) -> str:
    return programs.run(
        "kubectl", "--kubeconfig", str(server.kubeconfig), *arguments, stdin=stdin, fails=fails
    )


def rendered(*settings: str) -> list[Json]:
    """The objects of the chart with these settings."""
    command = ["template", "laneway", str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.37.0"]
    command.append("--include-crds")
    for setting in settings:
        command += ["--set-json" if "=[" in setting else "--set", setting]
    return [one for one in yaml.safe_load_all(programs.run("helm", *command)) if one]


def objects(directory: Path) -> list[Json]:
    """The objects that kustomize makes of a directory."""
    return [one for one in yaml.safe_load_all(programs.run("kustomize", "build", str(directory))) if one]


def pods(found: list[Json]) -> dict[str, Json]:
    """The pod of each Deployment, by the name of the Deployment, as its controller makes it."""
    made: dict[str, Json] = {}
    for one in found:
        if one["kind"] == "Deployment":
            template = copy.deepcopy(one["spec"]["template"])
            metadata = {**template["metadata"], "name": one["metadata"]["name"]}
            made[one["metadata"]["name"]] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": template["spec"],
            }
    return made


def token(server: KubeServer, account: str) -> str:
    """A token of a service account of the installation."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    return server.call("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]


def kubeconfig(server: KubeServer, account: str, path: Path) -> Path:
    """A kubeconfig that is nobody but that service account."""
    return through(server, server.port, path, token=token(server, account))


@contextlib.contextmanager
def injector(server: KubeServer, directory: Path, *arguments: str) -> Iterator[Injector]:
    """`laneway inject` under the service account of the installation; the API server calls it on loopback."""
    one = Injector(server, directory, free_port())
    one.lead()
    one.start(*arguments)
    try:
        yield one
    finally:
        one.stop()


class Injector:
    """A running webhook."""

    def __init__(self, server: KubeServer, directory: Path, port: int) -> None:
        self.server, self.directory, self.port = server, directory, port
        self.process: subprocess.Popen[bytes] | None = None

    def lead(self) -> None:
        """Let the API server call this port: it has no network in which Services have addresses."""
        call = {"url": f"https://127.0.0.1:{self.port}/inject", "service": None}
        names = [one["name"] for one in self.server.call("GET", CONFIGURATION)["webhooks"]]
        changes = [{"name": name, "clientConfig": call} for name in names]
        self.server.call("PATCH", CONFIGURATION, {"webhooks": changes}, STRATEGIC)

    def start(self, *arguments: str) -> None:
        config = kubeconfig(self.server, INJECT, self.directory / "kubeconfig")
        command = [str(LANEWAY), "inject", "--xds", "laneway.laneway.svc:18000"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--host", "127.0.0.1", "--secret", INJECT]
        command += ["--namespace", NAMESPACE, "--webhook", INJECT, "--kubernetes-config", str(config)]
        command += ["--directory", str(self.directory / "certificate"), *arguments]
        self.log = self.directory / "inject.log"
        with self.log.open("ab") as output:
            began = output.tell()
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
        wait_for(lambda: b"ready to give" in self.log.read_bytes()[began:], self.process)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait()
