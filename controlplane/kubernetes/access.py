"""Where the API server is, and who Laneway is to it: the service account of a pod, or a kubeconfig.

Files with secrets are read again whenever they are needed, because the kubelet replaces a token every hour.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from controlplane.kubernetes.errors import ConfigurationError
from controlplane.net.credentials import bearer, where, without_users

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts token, CA and namespace of the service account into a pod."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to talk to one API server.

    `server` is its URL. Of `token` and `token_file`, the file counts. `ca` and `ca_file` are PEM; without
    either, the CAs of the system are trusted. `certificate` and `key` are PEM, both or neither.
    `tls_name` replaces the host of the URL when the certificate is checked. `proxy` is the URL of a proxy.
    """

    server: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    ca: bytes = b""
    ca_file: Path | None = None
    insecure: bool = False
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    tls_name: str = ""
    proxy: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """The credentials of a request as they are now. Raises ConfigurationError."""
        token = self.token
        if self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"the token file cannot be read: {error}",
                    self.server,
                    "mount the service account's token",
                ) from None
        try:
            return bearer(token)
        except ValueError as error:
            raise ConfigurationError(str(error), self.server, "write it on one line") from None

    def tls(self) -> ssl.SSLContext:
        """A context with the CA and the client certificate as they are now. Raises ConfigurationError."""
        try:
            context = ssl.create_default_context()
            if self.ca_file is not None or self.ca:
                ca = self.ca_file.read_bytes() if self.ca_file is not None else self.ca
                context = ssl.create_default_context(cadata=ca.decode("ascii"))
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate:
                _load(context, self.certificate, self.key)
        except (OSError, ValueError) as error:  # ssl.SSLError and UnicodeDecodeError are of these
            raise ConfigurationError(
                f"its CA or the client certificate cannot be used: {error}",
                self.server,
                "give PEM files that belong together",
            ) from error
        return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python reads client certificates from files only: they are in one for that moment, with mode 0600."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def in_cluster(
    environment: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT
) -> Access | None:
    """The service account of the pod in which this process runs; None outside of a cluster."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    token = directory / "token"
    if not host or not port or not token.exists():
        return None
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        token_file=token,
        ca_file=directory / "ca.crt",
    )


def from_kubeconfig(path: Path, context: str = "") -> Access:
    """What a kubeconfig says of `context`, or of its current context. Raises ConfigurationError."""
    reading = _Kubeconfig(path)
    chosen = reading.named("contexts", "context", context or reading.current())
    cluster = reading.named("clusters", "cluster", _text(chosen, "cluster"))
    user = reading.named("users", "user", _text(chosen, "user")) if chosen.get("user") else {}
    for unknown in ("exec", "auth-provider", "username"):
        if user.get(unknown):
            raise ConfigurationError(
                f"{path}: the user {_text(chosen, 'user')!r} has {unknown}, which Laneway does not support",
                remedy="give a token, a tokenFile or a client certificate",
            )
    server = _text(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise ConfigurationError(
            f"{path}: the server of the cluster is {without_users(server)!r}",
            remedy="write https://HOST:PORT",
        )
    if "@" in server:
        raise ConfigurationError(
            f"{path}: the server of the cluster has a user in its URL, which would be shown",
            remedy="give a token, a tokenFile or a client certificate",
        )
    token_file = _text(user, "tokenFile")
    return Access(
        server=server,
        token=_text(user, "token"),
        token_file=reading.beside(token_file) if token_file else None,
        ca=reading.data(cluster, "certificate-authority-data"),
        ca_file=reading.file(cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        certificate=reading.pem(user, "client-certificate"),
        key=reading.pem(user, "client-key"),
        tls_name=_text(cluster, "tls-server-name"),
        proxy=_text(cluster, "proxy-url"),
    )


class _Kubeconfig:
    """A kubeconfig file (client-go's `clientcmd/api/v1`); paths in it are relative to its directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found: object = yaml.safe_load(path.read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"the kubeconfig {path} cannot be read: "
                f"{where(error) if isinstance(error, yaml.YAMLError) else error}",
                remedy="check --kubernetes-config",
            ) from None  # the error of the parser quotes the file, which has secrets
        if not isinstance(found, dict):
            raise ConfigurationError(f"{path} is no kubeconfig", remedy="check --kubernetes-config")
        self._document = cast("dict[str, Any]", found)

    def current(self) -> str:
        current = _text(self._document, "current-context")
        if not current:
            raise ConfigurationError(
                f"{self._path} has no current-context", remedy="name one with --kubernetes-context"
            )
        return current

    def named(self, kind: str, inside: str, name: str) -> dict[str, Any]:
        """The entry of the list `kind` with this name."""
        entries: list[dict[str, Any]] = self._document.get(kind) or []
        for entry in entries:
            if entry.get("name") == name:
                return entry.get(inside) or {}
        known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
        raise ConfigurationError(f"{self._path}: {kind} has no {name!r}", remedy=f"known: {known}")

    def beside(self, name: str) -> Path:
        return self._path.parent / name

    def file(self, entry: dict[str, Any], key: str) -> Path | None:
        return self.beside(_text(entry, key)) if _text(entry, key) and not entry.get(f"{key}-data") else None

    def data(self, entry: dict[str, Any], key: str) -> bytes:
        try:
            return base64.b64decode(_text(entry, key), validate=True)
        except binascii.Error as error:
            raise ConfigurationError(f"{self._path}: {key} is not base64: {error}") from error

    def pem(self, entry: dict[str, Any], key: str) -> bytes:
        """What the file `key` has, or the data beside it, which counts."""
        file = self.file(entry, key)
        try:
            return file.read_bytes() if file is not None else self.data(entry, f"{key}-data")
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {key} cannot be read: {error}") from error


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
