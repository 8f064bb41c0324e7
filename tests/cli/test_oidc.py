"""JWTs of an OpenID Connect issuer at the admin port of a real server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controlplane.auth import jwks
from controlplane.auth.jwks import Keys, check_place
from controlplane.auth.oidc import Claims, Issuer, mapping_of
from controlplane.auth.tokens import Refused
from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.trust import Authority

ISSUER = "https://id.example/realms/shop"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
ROLES = ["sre=admin", "orders=operator:flow", "all=viewer"]
CLAIMS = Claims(ISSUER, "laneway", mapping_of(ROLES), "realm.roles")


def key_set(**keys: Any) -> dict[str, Any]:
    """A JSON Web Key Set of the public keys, by `kid`."""
    found = []
    for kid, key in keys.items():
        kind = (
            jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        found.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": alg, "use": "sig"})
    return {"keys": found}


def token(key: Any = EC, kid: str = "ec", algorithm: str = "ES256", **claims: Any) -> str:
    given = {
        "iss": ISSUER,
        "aud": "laneway",
        "sub": "ann",
        "exp": time.time() + 600,
        "realm": {"roles": ["all"]},
    }
    given |= claims
    return jwt.encode({k: v for k, v in given.items() if v is not None}, key, algorithm, {"kid": kid})


def forged(header: dict[str, Any], key: bytes = b"") -> str:
    """A token with that header, signed with HMAC or not at all."""
    claims = {
        "iss": ISSUER,
        "aud": "laneway",
        "sub": "eve",
        "exp": time.time() + 600,
        "realm": {"roles": ["sre"]},
    }
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (header, claims)]
    text = b".".join(parts)
    signature = hmac.new(key, text, hashlib.sha256).digest() if key else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


PUBLIC = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    folder = tmp_path_factory.mktemp("oidc")
    keys, settings = folder / "jwks.json", folder / "settings.yaml"
    keys.write_text(json.dumps(key_set(ec=EC, rsa=RSA)))
    values: dict[str, Any] = {
        "oidc_issuer": ISSUER,
        "oidc_jwks": str(keys),
        "oidc_roles_claim": "realm.roles",
    }
    values["oidc_roles"] = ROLES
    settings.write_text(yaml.safe_dump(values))
    with served(folder, "--config", str(settings), "--audit", str(folder / "audit.jsonl")) as one:
        yield one, keys


def answer(control: Served, text: str, method: str = "GET", path: str = "/v1/lanes", **more: Any) -> int:
    return control.http.request(method, path, headers={"authorization": f"Bearer {text}"}, **more).status_code


def test_claims_become_roles(control: tuple[Served, Path]) -> None:
    one, _ = control
    assert answer(one, token()) == 200
    assert answer(one, token(RSA, "rsa", "RS256")) == 200
    lane = "/v1/lane-groups/flow/lanes/gray"
    assert answer(one, token(), "DELETE", lane) == 403
    assert answer(one, token(realm={"roles": ["x", "orders"]}), "DELETE", lane) == 404
    assert answer(one, token(realm={"roles": "orders all"}), "DELETE", "/v1/gateways/x") == 403
    sre = token(realm={"roles": ["sre"]}, sub="joe")
    assert answer(one, sre, "PUT", "/v1/gateways/edge", json={"listeners": [{"port": 1}]}) == 201
    revisions = one.http.get("/v1/revisions", headers={"authorization": f"Bearer {sre}"}).json()
    assert revisions["items"][0]["who"] == "oidc:joe"


def test_wrong_tokens(control: tuple[Served, Path]) -> None:
    one, _ = control
    past = time.time() - 600
    # Those that may be guesses are fewer than an address may send.
    for wrong in (
        token(exp=past), token(exp=None), token(aud="other"), token(aud=None), token(iss="https://id.example"),
        token(sub=None), token(realm=None), token(realm={"roles": ["nobody"]}), token(nbf=time.time() + 600),
        token(OTHER), forged({"alg": "none", "kid": "ec"}),
        forged({"alg": "HS256", "kid": "rsa"}, PUBLIC), token()[:-4] + "AAAA",
    ):  # fmt: skip
        assert answer(one, wrong) == 401
        assert wrong not in one.log.read_text()


def test_guesses_count_and_expired_tokens_do_not() -> None:
    issuer = Issuer(CLAIMS)
    with pytest.raises(Refused, match="not known yet"):
        issuer.caller_of(token())
    assert issuer.use(json.dumps(key_set(ec=EC, rsa=RSA)).encode()) == 2
    for text, guess in (
        (token(exp=1), False),
        (token(aud="x"), False),
        (token(OTHER), True),
        ("a.b.c", True),
    ):
        with pytest.raises(Refused) as refused:
            issuer.caller_of(text)
        assert refused.value.guess is guess, text
        assert text not in str(refused.value)
    for wrong in (
        b"",
        b"{}",
        b"[]",
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}',
    ):
        with pytest.raises(ValueError, match=r"key|Key"):
            issuer.use(wrong)


def test_new_keys_are_taken_from_the_file(control: tuple[Served, Path]) -> None:
    one, keys = control
    renewed = token(OTHER, "new")
    assert answer(one, renewed) == 401
    keys.write_text("{")
    wait_for(lambda: one.said("the former ones stay"), one.process)
    assert answer(one, token(RSA, "rsa", "RS256")) == 200
    keys.write_text(json.dumps(key_set(rsa=RSA, new=OTHER)))
    wait_for(lambda: answer(one, renewed) == 200, one.process)
    keys.write_text(json.dumps(key_set(ec=EC, rsa=RSA)))
    wait_for(lambda: answer(one, token()) == 200, one.process)


class _Handler(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def issuing(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server with keys."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.asynccontextmanager
async def following(keys: Keys) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.follow())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        task.cancel()


async def counted(counters: Counter[str], name: str, least: int = 1) -> None:
    while counters[name] < least:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.02)


def server_context(authority: Authority) -> ssl.SSLContext:
    files = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


async def test_keys_come_by_https_from_a_server_with_a_ca_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jwks, "LOOK", 0.05)
    monkeypatch.setattr(jwks, "LEAST", 0.1)
    authority = Authority(tmp_path)
    _Handler.body = json.dumps(key_set(ec=EC)).encode()
    issuer, counters = Issuer(CLAIMS), Counter[str]()
    with issuing(server_context(authority)) as port:
        place = f"https://localhost:{port}/jwks"
        async with following(Keys(issuer, place, authority.ca, counters)):
            await counted(counters, "oidc_reloaded")
            assert issuer.caller_of(token()).name == "oidc:ann"
            # Keys are replaced: the JWT that names the new one makes them be fetched again.
            _Handler.body = json.dumps(key_set(other=OTHER)).encode()
            with pytest.raises(Refused):
                issuer.caller_of(token(OTHER, "other"))
            await counted(counters, "oidc_reloaded", 2)
            assert issuer.caller_of(token(OTHER, "other")).name == "oidc:ann"
            with pytest.raises(Refused):
                issuer.caller_of(token())
    assert not counters["oidc_failed"]


async def test_keys_go_on_coming_when_the_ca_of_their_server_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "LOOK", 0.05)
    monkeypatch.setattr(jwks, "LEAST", 0.1)
    monkeypatch.setattr(jwks, "EVERY", 0.1)
    server = server_context(Authority(tmp_path))
    _Handler.body = json.dumps(key_set(ec=EC)).encode()
    issuer, counters = Issuer(CLAIMS), Counter[str]()
    with issuing(server) as port:
        place = f"https://localhost:{port}/jwks"
        async with following(Keys(issuer, place, tmp_path / "ca.pem", counters)):
            await counted(counters, "oidc_reloaded")
            authority = Authority(tmp_path)
            files = authority.server()
            server.load_cert_chain(files.certificate, files.key)
            _Handler.body = json.dumps(key_set(other=OTHER)).encode()
            while True:  # a fetch that was under way may have the former keys
                await counted(counters, "oidc_reloaded", counters["oidc_reloaded"] + 1)
                with contextlib.suppress(Refused):
                    assert issuer.caller_of(token(OTHER, "other")).name == "oidc:ann"
                    break


@pytest.mark.parametrize("wrong", ["another CA", "the system's CAs", "another name"])
async def test_keys_of_a_server_that_cannot_prove_its_name_are_not_taken(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    _Handler.body = json.dumps(key_set(ec=EC)).encode()
    issuer, counters = Issuer(CLAIMS), Counter[str]()
    ca = {"another CA": other.ca, "the system's CAs": None, "another name": authority.ca}[wrong]
    hosts = ["id.example"] if wrong == "another name" else ["localhost"]
    files = authority.server(hosts=hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with issuing(context) as port:
        async with following(Keys(issuer, f"https://localhost:{port}/jwks", ca, counters)):
            await counted(counters, "oidc_failed")
    assert not counters["oidc_reloaded"]
    with pytest.raises(Refused):
        issuer.caller_of(token())


async def test_keys_come_by_http_from_this_machine_alone() -> None:
    _Handler.body = json.dumps(key_set(ec=EC)).encode()
    issuer, counters = Issuer(CLAIMS), Counter[str]()
    with issuing() as port:
        async with following(Keys(issuer, f"http://127.0.0.1:{port}/jwks", None, counters)):
            await counted(counters, "oidc_reloaded")
            assert issuer.caller_of(token()).name == "oidc:ann"
    for place in ("http://id.example/jwks", "ftp://127.0.0.1/x", "https:///x"):
        with pytest.raises(ValueError, match="https"):
            check_place(place)
