"""CustomResourceDefinitions of other projects, from their Go modules.

`make kube-clients` puts them into the user's cache. Tests never fetch them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import golang, require
from tests.kubernetes.server import ApiError, KubeServer

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Crds:
    """sum: what go.sum has for the module. files: paths in it."""

    name: str
    module: str
    version: str
    sum: str
    files: tuple[str, ...]

    @property
    def directory(self) -> Path:
        """Where they are, or would be."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "laneway" / "kubernetes" / f"{self.name}-{self.version}"

    def fetch(self) -> Path:
        """Fetch them unless they are there. Needs Go."""
        found = self.directory
        if found.exists():
            return found
        go = golang.command()
        if go is None:
            raise SystemExit("there is no Go here: `make go` installs it")
        with tempfile.TemporaryDirectory() as empty:
            command = [go, "mod", "download", "-json", f"{self.module}@{self.version}"]
            done = subprocess.run(command, cwd=empty, check=True, capture_output=True, text=True)
        said = json.loads(done.stdout)
        assert said["Sum"] == self.sum, said
        new = found.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for file in self.files:
            shutil.copyfile(Path(said["Dir"]) / file, new / Path(file).name)
        new.rename(found)
        return found

    def install(self, server: KubeServer) -> None:
        """Apply them, and wait until they are served. Skips where they are not there."""
        if not self.directory.exists():
            require.lacking("kubernetes", f"nothing at {self.directory}: `make kube-clients` fetches it")
        names: list[str] = []
        for file in sorted(self.directory.glob("*.yaml")):
            definition = yaml.safe_load(file.read_text(encoding="utf-8"))
            names.append(definition["metadata"]["name"])
            with contextlib.suppress(ApiError):  # it is there already
                server.call("POST", _CRDS, definition)
        deadline = time.monotonic() + 60
        for name in names:
            while not _served(server, name):
                assert time.monotonic() < deadline, name
                time.sleep(0.05)


def _served(server: KubeServer, name: str) -> bool:
    """Whether each version can be asked for."""
    spec = server.call("GET", f"{_CRDS}/{name}")["spec"]
    try:
        for version in spec["versions"]:
            if version["served"]:
                server.call("GET", f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")
    except ApiError:
        return False
    return True


CERT_MANAGER = Crds(
    "cert-manager",
    "github.com/cert-manager/cert-manager",
    "v1.21.2",
    "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
    ("deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"),
)
GATEWAY_API = Crds(
    "gateway-api",
    "sigs.k8s.io/gateway-api",
    "v1.6.3",
    "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
    tuple(
        f"config/crd/standard/gateway.networking.k8s.io_{plural}.yaml"
        for plural in ("gatewayclasses", "gateways", "httproutes", "referencegrants")
    ),
)
ALL = (CERT_MANAGER, GATEWAY_API)
