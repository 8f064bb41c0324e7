"""The audit of a real server: who did what, who was refused, and nothing that is secret."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from controlplane.app.audit_sinks import Syslog
from controlplane.auth.rights import rights_of
from controlplane.auth.tokens import Token, digest_of
from controlplane.xds.resource import LISTENER
from tests.cli.ports import wait_for
from tests.cli.served import Served, call, served
from tests.trust import Authority
from tests.xds.client import DELTA, Stream

LANE = {"tag": "gray", "rule": {"conditions": [{"source": "header", "name": "c", "operator": "exists"}]}}
JSON = {"content-type": "application/json"}
ROLES = {"root": ["admin"], "ann": ["operator:flow"], "bob": ["viewer"]}


class Entries:
    """What the audit says."""

    def __init__(self, control: Served, file: Path) -> None:
        self.control = control
        self.file = file

    def call(self, who: str, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any] | None]:
        """Status, and the entry of this request: the one with its id."""
        headers = {"authorization": f"Bearer secret-of-{who}", **more.pop("headers", {})}
        answer = self.control.http.request(method, path, headers=headers, **more)
        return answer.status_code, self.find(answer.headers["x-request-id"])

    def find(self, request: str) -> dict[str, Any] | None:
        """The entry of a request that was answered: it is written before the answer leaves."""
        found = [json.loads(line) for line in self.file.read_text().splitlines()]
        return next((one for one in found if one["request"] == request), None)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entries]:
    folder = tmp_path_factory.mktemp("audit")
    tokens = folder / "tokens"
    tokens.touch(0o600)
    known = [Token(name, digest_of(f"secret-of-{name}"), rights_of(roles)) for name, roles in ROLES.items()]
    tokens.write_text("\n".join(one.line() for one in known))
    file = folder / "audit.jsonl"
    with served(folder, "--admin-tokens", str(tokens), "--audit", str(file)) as one:
        made = Entries(one, file)
        made.call("root", "PUT", "/v1/gateways/edge", json={"listeners": [{"port": 8080}]})
        for group in ("flow", "other"):
            body = {"gateway": "edge", "applications": ["a"]}
            made.call("root", "PUT", f"/v1/lane-groups/{group}", json=body)
        yield made


def test_a_change_says_who_what_and_when(entries: Entries) -> None:
    status, entry = entries.call(
        "ann", "PUT", "/v1/lane-groups/flow/lanes/gray", json=LANE, headers={"x-request-id": "ticket-7"}
    )
    assert status == 201
    assert entry is not None
    assert entry.pop("time").endswith("+00:00")
    assert entry.pop("revision") > 3
    diff = entry.pop("diff")
    assert "+++ Lane/gray" in diff
    assert "+tag: gray" in diff
    assert entry == {
        "request": "ticket-7", "who": "ann", "by": "token", "address": "127.0.0.1", "method": "PUT",
        "path": "/v1/lane-groups/flow/lanes/gray", "operation": "putLane", "status": 201, "outcome": "done",
        "what": ["created Lane/gray"],
    }  # fmt: skip
    headers = {"authorization": "Bearer secret-of-bob"}
    items = entries.control.http.get("/v1/revisions", headers=headers).json()["items"]
    assert items[0]["who"] == "ann"
    assert stat.S_IMODE(entries.file.stat().st_mode) == 0o600
    status, entry = entries.call("root", "POST", f"/v1/revisions/{items[0]['revision']}/undo")
    assert (status, entry and entry["what"]) == (200, ["deleted Lane/gray"])
    status, entry = entries.call("root", "DELETE", "/v1/gateways/none")
    assert (status, entry and entry["outcome"]) == (404, "refused")


@pytest.mark.parametrize(
    ("who", "method", "path", "more", "status"),
    [
        ("nobody", "GET", "/v1/lanes", {}, 401),
        ("bob", "DELETE", "/v1/gateways/edge", {}, 403),
        ("ann", "PUT", "/v1/lane-groups/other/lanes/gray", {"json": LANE}, 403),
        ("ann", "POST", "/v1/apply", {"json": {"kind": "Application", "name": "x", "services": []}}, 403),
        ("root", "DELETE", "/v1/gateways/edge", {}, 409),
        ("root", "DELETE", "/v1/lane-groups/flow", {"headers": {"if-match": '"x"'}}, 412),
        ("root", "GET", "/v1/lanes", {"headers": {"host": "evil.example"}}, 421),
        ("root", "PUT", "/v1/gateways/edge", {"json": {"password": "hunter-2"}}, 422),
        ("root", "PUT", "/v1/gateways/edge", {"content": b"{", "headers": JSON}, 400),
        ("root", "DELETE", "/v1/gateways/x", {"headers": {"origin": "https://evil.example"}}, 403),
    ],
)  # fmt: skip
def test_refusals(entries: Entries, who: str, method: str, path: str, more: Any, status: int) -> None:
    found, entry = entries.call(who, method, path, **more)
    assert found == status
    assert entry is not None
    assert (entry["status"], entry["outcome"], entry["path"]) == (status, "refused", path)
    known = who in ROLES and status != 421 and "origin" not in more.get("headers", {})
    assert entry["who"] == (who if known else "")
    assert entry["reason"]
    assert "hunter-2" not in json.dumps(entry)
    assert "diff" not in entry


def test_reading_is_not_written_down(entries: Entries) -> None:
    explain = {"gateway": "edge", "path": "/"}
    lane = {"kind": "Lane", "group": "flow", "name": "gray", **LANE}
    for method, path, body in (
        ("GET", "/v1/lanes", None),
        ("POST", "/v1/explain", explain),
        ("POST", "/v1/apply?dry_run=true", lane),
        ("GET", "/healthz", None),
    ):
        assert entries.call("root", method, path, json=body) == (200, None)


def test_a_flood_of_strangers_has_a_bound(entries: Entries) -> None:
    size = len(entries.file.read_text().splitlines())
    with socket.create_connection(("127.0.0.1", entries.control.admin), 20, ("127.0.0.9", 0)) as one:
        one.sendall(b"GET /v1/lanes HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        answers = b""
        while answers.count(b"HTTP/1.1 401") < 50:
            answers += one.recv(65536)
    metric = 'laneway_audit_entries_total{result="suppressed"}'
    wait_for(lambda: entries.control.metric(metric, authorization="Bearer secret-of-bob") >= 40)
    assert len(entries.file.read_text().splitlines()) - size <= 11


def test_the_file_is_opened_anew_at_sighup(entries: Entries) -> None:
    former = entries.file.with_suffix(".1")
    entries.file.rename(former)
    assert call(
        entries.control.admin,
        b"DELETE /v1/gateways/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    entries.control.process.send_signal(signal.SIGHUP)
    wait_for(entries.file.exists, entries.control.process)
    assert entries.call("bob", "DELETE", "/v1/gateways/edge")[0] == 403
    assert former.read_text()


def test_syslog_gets_entries(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(20)
        with served(tmp_path, "--audit", f"syslog:{path}") as one:
            one.http.put("/v1/gateways/edge", json={"listeners": [{"port": 8080}]})
            message = receiver.recv(1 << 16)
    priority, _, text = message.partition(b"laneway: ")
    assert priority == b"<86>"
    assert json.loads(text)["what"] == ["created Gateway/edge"]


@contextlib.contextmanager
def syslog(where: str) -> Iterator[Syslog]:
    """The sink alone; a process ends with its own."""
    sink = Syslog(where)
    with contextlib.closing(sink._handler):
        yield sink


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_syslog_over_udp_gets_entries(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host, 0))
        receiver.settimeout(20)
        place = f"[{host}]" if ":" in host else host
        with syslog(f"{place}:{receiver.getsockname()[1]}") as sink:
            sink.write('{"who":"ann","diff":"100 %s"}')
            sink.write(json.dumps({"who": "bob", "what": ["changed Lane/gray"], "diff": "x" * 20_000}))
        found = [receiver.recv(1 << 16).partition(b"laneway: ") for _ in range(2)]
    assert [one[0] for one in found] == [b"<86>", b"<86>"]
    assert json.loads(found[0][2]) == {"who": "ann", "diff": "100 %s"}
    cut = {"who": "bob", "what": ["changed Lane/gray"], "diff": "", "cut": True}
    assert json.loads(found[1][2]) == cut


def test_syslog_that_is_gone_is_an_error_that_counts(tmp_path: Path) -> None:
    """Over a local socket; over UDP nobody can tell."""
    path = tmp_path / "log"

    def receiving() -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(str(path))
        made.settimeout(20)
        return made

    with contextlib.ExitStack() as stack:
        first = stack.enter_context(receiving())
        sink = stack.enter_context(syslog(str(path)))
        sink.write("{}")
        first.close()
        path.unlink()
        with pytest.raises(OSError, match="syslog"):
            sink.write("{}")
        second = stack.enter_context(receiving())
        sink.write('{"who":"ann"}')
        assert second.recv(1 << 16).endswith(b'laneway: {"who":"ann"}')


async def test_clients_of_the_xds_port_that_are_denied(tmp_path: Path) -> None:
    """What their certificates say, what they tried, and a bound for each address."""
    trust, audit = Authority(tmp_path), tmp_path / "audit.jsonl"
    files = trust.server()
    with served(
        tmp_path, "--audit", str(audit), "--xds-certificate", str(files.certificate),
        "--xds-key", str(files.key), "--xds-client-ca", str(trust.ca),
    ) as one:  # fmt: skip

        def entries() -> list[dict[str, Any]]:
            return [json.loads(line) for line in audit.read_text().splitlines()]

        for path in ("application/shop", "operator/ann"):
            channel = grpc.aio.secure_channel(f"localhost:{one.xds}", trust.client(path).credentials())
            for _ in range(12):
                stream = Stream(channel, "n", delta=True)
                if path == "application/shop":  # an operator may not even begin
                    request = stream.request(LISTENER)
                    request.node.id, request.node.cluster, request.node.metadata["role"] = "n", "edge", "edge"
                    await stream.write(request)
                assert (await stream.status())[0] is grpc.StatusCode.PERMISSION_DENIED
            await channel.close()
        found = entries()
        (first, *_) = found
        assert (first["who"], first["by"]) == ("spiffe://mesh.test/application/shop", "certificate")
        assert (first["method"], first["path"]) == ("xDS", DELTA)
        assert (first["status"], first["outcome"]) == (403, "refused")
        assert "the certificate is of application shop, but node.metadata.role is 'edge'" in first["reason"]
        assert ipaddress.ip_address(first["address"]).is_loopback
        metric = 'laneway_audit_entries_total{result="suppressed"}'
        assert len(found) + one.metric(metric) == 24, "ten of one address in ten seconds are written"


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """In no log, answer, metric, export, revision, client status or crash dump."""
    trust = Authority(tmp_path)
    trust.server()
    key = (tmp_path / "server-key.pem").read_text().splitlines()[1]
    secrets = {
        "plain token": "plain-4hq7w2", "token": "hashed-9k3xv8", "wrong token": "wrong-2m5rt1", "key": key,
        "password": "password-7zq4n", "secret key": "nacos-key-6yb3s", "query": "query-8dk2p",
        "peers' token": "peers-5jt8c", "account's token": "kube-3pw6d", "proxy's token": "proxy-6fz2n",
    }  # fmt: skip
    (tmp_path / "peers-token").write_text(secrets["peers' token"])
    cluster = {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}
    kubeconfig = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": secrets["account's token"]}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    tokens, audit = tmp_path / "tokens", tmp_path / "audit.jsonl"
    tokens.touch(0o600)
    hashed = Token("ann", digest_of(secrets["token"]), rights_of(["viewer"])).line()
    tokens.write_text(f"root: {secrets['plain token']}\n{hashed}\n")
    seen: dict[str, str] = {}
    with served(
        tmp_path, "--admin-tokens", str(tokens), "--audit", str(audit), "--log-level", "debug",
        "--admin-certificate", str(tmp_path / "server.pem"), "--admin-key", str(tmp_path / "server-key.pem"),
        "--peers", "https://127.0.0.1:1", "--peers-token-file", str(tmp_path / "peers-token"),
        "--kubernetes-config", str(tmp_path / "kubeconfig"),
        ca=trust.ca, until="/healthz", NACOS_SERVER_ADDR="127.0.0.1:1", NACOS_USERNAME="nacos",
        NACOS_PASSWORD=secrets["password"], NACOS_ACCESS_KEY="access", NACOS_SECRET_KEY=secrets["secret key"],
        PYTHONFAULTHANDLER="1",
    ) as one:  # fmt: skip
        for source in ("nacos", "kubernetes"):
            said = f"{source} has not synced yet: "
            wait_for(lambda said=said: said in one.http.get("/readyz").text, one.process)
        root = {"authorization": f"Bearer {secrets['plain token']}"}
        ann = {"authorization": f"Bearer {secrets['token']}"}
        wrong = {"authorization": f"Bearer {secrets['wrong token']}"}
        assert one.http.put(
            "/v1/gateways/edge", json={"listeners": [{"port": 8080}]}, headers=root
        ).is_success
        began = one.http.post("/v1/session", headers=root)
        secrets["session"] = next(iter(began.cookies.values()))
        seen["beginning of the session"] = began.text  # its cookie is for the browser alone
        query = f"?access_token={secrets['query']}"
        asked = [
            (root, "GET", "/v1/revisions"), (root, "GET", "/v1/export"), (ann, "GET", "/metrics"),
            (ann, "GET", "/v1/proxies"), (ann, "GET", "/v1/services"), (ann, "DELETE", "/v1/gateways/edge"),
            (wrong, "GET", "/v1/lanes"), (wrong, "DELETE", f"/v1/gateways/edge{query}"),
            (root, "GET", "/readyz"), (root, "PUT", "/v1/gateways/x"), (root, "GET", "/openapi.json"),
            (root, "DELETE", "/v1/lane-groups/g"), (ann, "GET", "/v1/metrics/summary"),
            ({"origin": "https://elsewhere.test"}, "GET", "/v1/session"), ({}, "DELETE", "/v1/session"),
        ]  # fmt: skip
        for number, (headers, method, path) in enumerate(asked):
            answer = one.http.request(method, path, headers=headers)
            seen[f"{number} {method} {path}"] = f"{answer.headers} {answer.text}"
        with grpc.insecure_channel(f"127.0.0.1:{one.xds}") as channel:
            stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
            sent = [("authorization", "Bearer " + secrets["proxy's token"])]
            status = stub.FetchClientStatus(csds_pb2.ClientStatusRequest(), timeout=20, metadata=sent)
            seen["client status"] = str(status)
        limits = Path(f"/proc/{one.process.pid}/limits").read_text()
        assert limits.partition("Max core file size")[2].split()[0] == "1"
        one.process.send_signal(signal.SIGABRT)
        one.process.wait(20)
    seen["log"] = (tmp_path / "laneway.log").read_text()
    seen["audit"] = audit.read_text()
    assert "Fatal Python error: Aborted" in seen["log"]
    assert '"who":"root"' in seen["audit"]
    for name, secret in secrets.items():
        for place, text in seen.items():
            assert secret not in text, f"the {name} is in {place}"
            assert digest_of(secret).hex() not in text, f"the digest of the {name} is in {place}"
