"""helm, kubectl and kustomize for tests, built once from the Go modules that `clients/` names.

`make kube-clients` builds them into the user's cache, which takes some minutes, and fetches the resources of
other projects (`modules.py`). Tests never build them.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests import golang, require
from tests.kubernetes import modules
from tests.kubernetes.server import cached

SOURCE = Path(__file__).parent / "clients"
PACKAGES = {
    "helm": "helm.sh/helm/v3/cmd/helm",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "kubectl": ".",
}
# helm takes a chart for the Kubernetes that it was built with, which its own Makefile tells it.
_HELM_OF = (
    "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37"
)


def directory() -> Path:
    """Where the programs are, or would be."""
    return cached("clients", SOURCE, "kubectl.go")


def build() -> Path:
    """Build what is not there. Needs Go."""
    found = directory()
    go = golang.command()
    if go is None:
        raise SystemExit("there is no Go here: `make go` installs it")
    found.mkdir(parents=True, exist_ok=True)
    with (found / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, package in PACKAGES.items():
            if (found / name).exists():
                continue
            new = found / f"{name}.new"
            command = [go, "build", "-mod=mod", "-trimpath", "-ldflags", f"-s -w {_HELM_OF}", "-o", str(new)]
            subprocess.run([*command, package], cwd=SOURCE, check=True)
            new.replace(found / name)
    for one in modules.ALL:
        one.fetch()
    return found


def program(name: str) -> Path:
    """One of them. Skips, or fails, where it is not there (see tests.require)."""
    found = directory() / name
    if not found.exists():
        require.lacking("kubernetes", f"no {name} at {found}: `make kube-clients` builds it")
    return found


def run(name: str, *arguments: str, stdin: str = "", fails: bool = False, **environment: str) -> str:
    """What the program prints. `fails`: it must fail, and its errors are returned."""
    home = {"HELM_CACHE_HOME": "/nonexistent", "HELM_CONFIG_HOME": "/nonexistent", "HOME": "/nonexistent"}
    done = subprocess.run(
        [str(program(name)), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **home, **environment},
    )
    assert (done.returncode != 0) == fails, f"{name} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stderr if fails else done.stdout


if __name__ == "__main__":
    print(build())
