"""A real Kubernetes API server for tests, with etcd and the endpointslice controller in one program, and on
request the controllers of Deployments and ReplicaSets.

It is built from `apiserver/` once, which takes ten minutes or more, by `make kube-apiserver`, and kept below
a cache directory. LANEWAY_KUBE_APISERVER names another program. Tests never build it. There is no kubelet:
tests set the status of pods.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import golang, require
from tests.ports import free_port

USERS_PROGRAM = "LANEWAY_KUBE_APISERVER"
SOURCE = Path(__file__).parent / "apiserver"
VERSION = "v1.37.2"
MERGE = "application/merge-patch+json"  # a strategic merge would add to podIPs


class ApiError(Exception):
    """The API server refused; `code` is the HTTP status."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text[:300]}")
        self.code, self.text = code, text


def cached(name: str, source: Path, main: str) -> Path:
    """Where something is kept that is built of `source`: the name has a hash of main, go.mod and go.sum."""
    content = hashlib.sha256()
    for file in (main, "go.mod", "go.sum"):
        content.update((source / file).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "laneway" / "kubernetes" / f"{name}-{content.hexdigest()[:12]}"


def program() -> Path:
    """Where the program is, or would be."""
    chosen = os.environ.get(USERS_PROGRAM)
    return Path(chosen) if chosen else cached(f"kube-apiserver-{VERSION}", SOURCE, "main.go")


def build() -> Path:
    """Build the program unless it is there. Needs Go and some 3 GB for Go's caches."""
    found = program()
    if found.exists():
        return found
    go = golang.command()
    if go is None:
        raise SystemExit("there is no Go here: `make go` installs it")
    found.parent.mkdir(parents=True, exist_ok=True)
    with (found.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = found.with_suffix(".new")
        said = f"-X k8s.io/component-base/version.gitVersion={VERSION} " + " ".join(
            f"-X k8s.io/component-base/version.git{name}={part}"
            for name, part in zip(("Major", "Minor"), VERSION.removeprefix("v").split("."), strict=False)
        )
        subprocess.run(
            [go, "build", "-trimpath", "-ldflags", f"-s -w {said}", "-o", str(new), "."],
            cwd=SOURCE,
            check=True,
        )
        new.replace(found)
    return found


@dataclass
class KubeServer:
    """A server of its own process; `start` after `kill` brings it back with what was in etcd. deployments:
    whether it has their controllers. Nothing collects garbage.
    """

    home: Path
    deployments: bool = False
    port: int = field(default_factory=lambda: free_port(1, 2))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    def start(self, patience: float = 240.0) -> None:
        """Start and wait until it is ready."""
        self.launch()
        self.wait_ready(patience)

    def launch(self) -> None:
        """Start without waiting."""
        self.home.mkdir(parents=True, exist_ok=True)
        roles = "etcd,api,slices" + (",deployments" if self.deployments else "")
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(program()), "-dir", str(self.home), "-port", str(self.port), "-roles", roles],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, patience: float = 240.0) -> None:
        assert self.process is not None
        deadline = time.monotonic() + patience
        while True:
            assert self.process.poll() is None, (self.home / "log").read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, "the API server is not ready in time"
            try:
                self.raw("GET", "/readyz")
                self.call("GET", "/api/v1/namespaces/default")
                return
            except (OSError, ApiError):
                time.sleep(0.05)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wipe(self) -> None:
        """Take away what etcd has; the server must not run."""
        shutil.rmtree(self.home / "etcd")

    @property
    def token(self) -> str:
        return (self.home / "token").read_text()

    def raw(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> bytes:
        """The answer to a request of the administrator. Raises ApiError."""
        context = ssl.create_default_context(cafile=str(self.home / "apiserver.crt"))
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ApiError(refusal.code, refusal.read().decode()) from None

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        return json.loads(self.raw(method, path, body, kind))


@contextmanager
def for_test(home: Path, deployments: bool = False) -> Iterator[KubeServer]:
    """A running server. Skips, or fails, where the program is not there (see tests.require)."""
    if not program().exists():
        require.lacking(
            "kubernetes",
            f"no API server at {program()}: `make kube-apiserver` builds it, or {USERS_PROGRAM} names one",
        )
    server = KubeServer(home, deployments)
    try:
        server.start()
        yield server
    finally:
        server.kill()


if __name__ == "__main__":
    print(build())
