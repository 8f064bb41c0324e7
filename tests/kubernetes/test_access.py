"""Credentials of the API server: what is read again, and what is never said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlplane.kubernetes.access import Access, from_kubeconfig
from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import ConfigurationError, KubernetesError
from tests.callouts.server import serving
from tests.trust import Authority

SECRET = "hunter2"


def kubeconfig(directory: Path, server: str, token: str) -> Path:
    """One whose CA is a file beside it."""
    path = directory / "kubeconfig"
    cluster = {"server": server, "certificate-authority": "ca.pem"}
    document = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": token}}],
    }
    path.write_text(json.dumps(document))
    return path


async def asked(path: Path) -> None:
    """A connection as sources and stores make it after each failure."""
    client = Client(from_kubeconfig(path))
    try:
        await client.get("/version")
    finally:
        await client.close()


async def test_a_new_connection_has_the_ca_and_the_token_of_then(tmp_path: Path) -> None:
    tls = Authority(tmp_path).context()
    with serving(lambda _: (200, b"{}"), tls) as server:
        await asked(kubeconfig(tmp_path, server.url, "first"))
        Authority(tmp_path).load(tls)
        await asked(kubeconfig(tmp_path, server.url, "second"))
        said = [one.headers["authorization"] for one in server.asked]
        assert said == ["Bearer first", "Bearer second"]
        (tmp_path / "other").mkdir()
        Authority(tmp_path / "other").load(tls)
        with pytest.raises(KubernetesError, match="certificate"):
            await asked(tmp_path / "kubeconfig")


@pytest.mark.parametrize("token", [f"{SECRET}\nx", f"\xe9{SECRET}", f"{SECRET}\x01"])
async def test_a_token_that_cannot_be_sent_is_not_said(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token)
    with serving() as server:
        for access in (Access(server.url, token=token), Access(server.url, token_file=file)):
            client = Client(access)
            with pytest.raises(KubernetesError) as refused:
                await client.get("/version")
            await client.close()
            every = [refused.value, refused.value.__cause__]
            assert SECRET not in f"{every} {access!r}"
        assert server.asked == []


def test_a_kubeconfig_that_is_wrong_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    for text in (f'users: [{{name: a, user: {{token: "{SECRET}\n', f"users: *{SECRET}"):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="it is not YAML at line") as refused:
            from_kubeconfig(path)
        assert SECRET not in f"{refused.value} {refused.value.__cause__}"
    for server in (f"https://ann:{SECRET}@api.test", f"ftp://ann:{SECRET}@api.test"):
        kubeconfig(tmp_path, server, "t")
        with pytest.raises(ConfigurationError, match=r"user|write https") as refused:
            from_kubeconfig(path)
        assert SECRET not in str(refused.value)
