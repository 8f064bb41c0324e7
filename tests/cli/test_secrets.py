"""Certificates that the control plane holds: who is sent them, who is not, and where their keys never are."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.status.v3 import csds_pb2

from controlplane.xds.resource import LISTENER, SECRET
from tests.cli.served import Served, served
from tests.keys import made, put
from tests.trust import Authority
from tests.xds.client import SEPARATE, Stream

NAME = "secret:shop"
CSDS = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"


def gateway(name: str, port: int, **tls: Any) -> dict[str, Any]:
    listeners: list[dict[str, Any]] = [{"port": port}, {"port": port + 1, "tls": tls}]
    return {"kind": "Gateway", "name": name, "listeners": listeners}


def applied(server: Served, *documents: dict[str, Any]) -> Any:
    content = "\n---\n".join(map(json.dumps, documents))
    return server.http.post("/v1/apply", content=content, headers={"content-type": "application/yaml"})


class Trial:
    """A control plane that holds a certificate for the gateway `edge`. `mutual`: over mTLS."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory, self.authority = directory, authority
        self.pairs = {name: made(f"{name}.test") for name in ("shop", "bank")}
        self.channels: list[grpc.aio.Channel] = []
        self.server: Served

    def apply(self, *documents: dict[str, Any]) -> Any:
        return applied(self.server, *documents)

    def connected(self, path: str, delta: bool, method: str | None = None) -> Stream:
        identity = self.authority.client(path)
        channel = grpc.aio.secure_channel(f"localhost:{self.server.xds}", identity.credentials())
        self.channels.append(channel)
        return Stream(channel, f"n-{path}", delta=delta, method=method)


async def ask(stream: Stream, role: str, cluster: str, *names: str, type_url: str = SECRET) -> None:
    fields: dict[str, Any] = {"resource_names_subscribe" if stream.delta else "resource_names": names}
    request = stream.request(type_url)
    for key, value in fields.items():
        getattr(request, key).extend(value)
    request.node.id, request.node.cluster = stream.node, cluster
    request.node.metadata["role"] = role
    if role == "sidecar":
        request.node.metadata["address"] = "10.0.0.1"
    stream._first, stream._names[type_url] = False, list(names)
    await stream.write(request)


def bodies(reply: Any, delta: bool) -> dict[str, Any]:
    found = (one.resource if delta else one for one in reply.resources)
    return {one.name: one for one in map(_secret, found)}


def _secret(one: Any) -> Any:
    return secret_pb2.Secret.FromString(one.value)


@pytest.fixture(params=["laneway", "grpcio"], scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Trial]:
    directory = tmp_path_factory.mktemp("secrets")
    (directory / "ca").mkdir()
    one = Trial(directory, Authority(directory / "ca"))
    for name, pair in one.pairs.items():
        put(directory / "secrets", name, pair)
    files = one.authority.server()
    with served(
        directory,
        *("--secrets", str(directory / "secrets"), "--store", f"sqlite:{directory / 'laneway.db'}"),
        *("--state-dir", str(directory / "state"), "--log-level", "debug"),
        LANEWAY_XDS_TRANSPORT=request.param,
        LANEWAY_XDS_CERTIFICATE=str(files.certificate),
        LANEWAY_XDS_KEY=str(files.key),
        LANEWAY_XDS_CLIENT_CA=str(files.client_ca),
    ) as one.server:
        answer = one.apply(
            gateway("edge", 8080, secret="shop"),
            gateway("other", 9080, sni=[{"hosts": ["bank.test"], "secret": "bank"}]),
        )
        assert answer.status_code == 200, answer.text
        yield one


@pytest.fixture
async def trial(running: Trial) -> AsyncIterator[Trial]:
    yield running
    for channel in running.channels:
        await channel.close()
    running.channels.clear()


def everything(trial: Trial) -> bytes:
    """All that can be read of the control plane without a certificate of the gateway, and all that it wrote
    outside of the directory of secrets.
    """
    http = trial.server.http
    found = [
        http.get(path).content
        for path in (
            *("/v1/gateways", "/v1/gateways/edge", "/v1/export", "/v1/revisions", "/v1/proxies", "/metrics"),
            *(
                "/readyz",
                "/openapi.json",
                "/v1/proxies/n-gateway%2Fedge",
                "/v1/configuration/n-gateway%2Fedge",
            ),
            f"/v1/configuration/n-gateway%2Fedge?name={quote(NAME)}",
        )
    ]
    identity = trial.authority.client("operator/ops")
    with grpc.secure_channel(f"localhost:{trial.server.xds}", identity.credentials()) as channel:
        status = channel.unary_unary(CSDS)(csds_pb2.ClientStatusRequest().SerializeToString(), timeout=20)
    assert NAME.encode() in status
    found.append(status)
    for at, _, files in os.walk(trial.directory):
        if trial.directory / "secrets" not in (Path(at), *Path(at).parents) and Path(at).name != "ca":
            found += [(Path(at) / name).read_bytes() for name in files]
    return b"\n".join(found)


async def told(trial: Trial, variant: str) -> str:
    """What the newest proxy of that variant rejected, once it has."""
    for _ in range(200):
        await asyncio.sleep(0.1)
        items = trial.server.http.get("/v1/proxies").json()["items"]
        newest = max((one for one in items if one["variant"] == variant), key=lambda one: one["connected"])
        if (nack := newest["types"].get("secret", {}).get("nack")) is not None:
            return str(nack["message"])
    raise AssertionError("nothing is rejected")


def pieces(key: bytes) -> Iterator[bytes]:
    """Parts of a key in each form in which it could be written."""
    lines = [line for line in key.splitlines() if not line.startswith(b"-----")]
    yield from lines
    whole = base64.b64decode(b"".join(lines))
    secret = whole[36:68]  # the number itself, RFC 5915 in RFC 5958
    yield from (secret, secret.hex().encode(), base64.b64encode(key)[40:80])


async def test_a_key_reaches_its_gateway_alone_and_is_written_nowhere(trial: Trial) -> None:
    for delta in (True, False):
        for method in (None, SEPARATE[SECRET, delta]):
            stream = trial.connected("gateway/edge", delta, method)
            await ask(stream, "edge", "edge", NAME, "secret:bank")
            reply = await stream.reply(20)
            found = bodies(reply, delta)
            assert list(found) == [NAME], "what another gateway names"
            certificate = found[NAME].tls_certificate
            chain, key = trial.pairs["shop"]
            assert certificate.certificate_chain.inline_bytes == chain
            assert certificate.private_key.inline_bytes == key
            if delta:
                assert list(reply.removed_resources) == ["secret:bank"]
            # A proxy may repeat it in its words; nobody must be able to read them.
            await stream.ack(reply, f"Failed to load it:\n{key.decode()}")
            assert "Failed to load it" in await told(trial, f"{'delta' if delta else 'sotw'}")
    wrong = gateway("third", 7080, secret="shop")
    put(trial.directory / "secrets", "wrong", (trial.pairs["bank"][0], trial.pairs["shop"][1]))
    wrong["listeners"][1]["tls"]["secret"] = "wrong"
    answer = trial.apply(wrong)
    assert answer.status_code == 422
    text = everything(trial) + answer.content
    assert b"Failed to load it" in text
    for name, (_, key) in trial.pairs.items():
        for piece in pieces(key):
            assert piece not in text, f"the key of {name}"
    assert trial.server.said("an edge asks for secrets that its gateway does not name")
    warnings = trial.server.http.get("/v1/proxies").text
    assert "the edge asks for secret:bank, which its gateway does not name" in warnings


@pytest.mark.parametrize("delta", [True, False])
@pytest.mark.parametrize(("role", "application"), [("sidecar", "edge"), ("grpc", "edge")])
async def test_others_than_edges_are_refused(trial: Trial, delta: bool, role: str, application: str) -> None:
    stream = trial.connected(f"application/{application}", delta)
    await ask(stream, role, application, NAME)
    code, text = await stream.status()
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "secret:shop is sent only to edges of a gateway that names it, and only over mTLS" in text


@pytest.mark.parametrize("delta", [True, False])
async def test_renewed_files_are_sent_and_broken_ones_are_not(trial: Trial, delta: bool) -> None:
    stream = trial.connected("gateway/edge", delta)
    await ask(stream, "edge", "edge", NAME)
    first = await stream.reply(20)
    await stream.ack(first)
    directory = trial.directory / "secrets"
    put(directory, "shop", (made()[0], trial.pairs["shop"][1]))
    problem = "tls.key is not the key of tls.crt"
    while problem not in (said := trial.server.http.get("/v1/gateways/edge").text):
        assert trial.server.process.poll() is None
    assert "listeners[1].tls.secret: secret shop cannot be used, and edges keep the former one" in said
    assert trial.server.metric("laneway_secrets_failing") == 1
    put(directory, "shop", new := made())
    reply = await stream.reply(20)
    assert bodies(reply, delta)[NAME].tls_certificate.private_key.inline_bytes == new[1]
    assert trial.server.metric("laneway_secrets_failing") == 0
    assert trial.server.metric('laneway_secret_expires_seconds{secret="shop"}') > 0


async def test_over_plain_text_nobody_is_sent_a_key(tmp_path: Path) -> None:
    """Definitions may name secrets from times when the port spoke mTLS."""
    put(tmp_path / "secrets", "shop", made())
    file = tmp_path / "definitions.yaml"
    file.write_text(json.dumps(gateway("edge", 8080, secret="shop")))
    arguments = ("--secrets", str(tmp_path / "secrets"), "--definitions", str(file))
    with served(tmp_path, *arguments) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.xds}")
        for delta in (True, False):
            stream = Stream(channel, "edge", delta=delta)
            await ask(stream, "edge", "edge", type_url=LISTENER)
            reply = await stream.reply(20)
            found = [one.resource if delta else one for one in reply.resources]
            names = [listener_pb2.Listener.FromString(one.value).name for one in found]
            assert names == ["edge/0.0.0.0:8080"], "and not the one with the secret"
            warnings = server.http.get("/v1/proxies").text
            assert "listeners with the secrets shop are left out" in warnings
            await stream.subscribe(SECRET, [NAME])
            code, text = await stream.status()
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert "only over mTLS" in text
        await channel.close()
        said = server.http.get("/v1/gateways/edge").text
        assert "secrets are sent only over mTLS, and the xDS port has none" in said
        new = gateway("new", 9080, secret="shop")
        answer = applied(server, new)
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["field"], error["value"]) == ("listeners[1].tls.secret", "shop")
        assert "--xds-client-ca" in error["remedy"]


@pytest.mark.parametrize("name", ["../shop", "/etc/shop", "shop/../../x", "..", ""])
async def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    from controlplane.model.parsing import parse_documents
    from controlplane.model.problems import DefinitionError

    with pytest.raises(DefinitionError) as refused:
        parse_documents(json.dumps(gateway("edge", 8080, secret=name)).encode())
    assert [one.field for one in refused.value.problems] == ["listeners[1].tls.secret"]
