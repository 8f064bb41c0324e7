"""Control planes that ask each other over TLS, each with a certificate and a token."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.ports import free_port, wait_for
from tests.cli.served import Served, served
from tests.trust import Authority

OPERATOR, VIEWER = "secret-of-alice", "secret-of-the-peers"
DIGEST = hashlib.sha256(VIEWER.encode()).hexdigest()
TOKENS = f"alice: {OPERATOR}\npeers: sha256={DIGEST} role=viewer\n"


class Two:
    """Each takes only callers who show a certificate of the CA in `pems`, and has the list of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pems = folder / "pems"
        self.pems.mkdir()
        self.ports = [free_port(), free_port()]
        self.running: dict[int, Served] = {}
        self._stacks: dict[int, contextlib.ExitStack] = {}
        self.renew()

    def renew(self) -> None:
        """Another CA, and certificates of it, in the same files."""
        self.trust = Authority(self.pems)
        self.trust.server(peer=True)

    def token(self, which: int) -> Path:
        """The file with the token that it shows to others."""
        return self.folder / str(which) / "token"

    def serve(self, which: int) -> None:
        """Start it, or another one in its place."""
        self.stop(which)
        home = self.folder / str(which)
        home.mkdir(exist_ok=True)
        self.token(which).write_text(VIEWER)
        (home / "tokens").touch(0o600)
        (home / "tokens").write_text(TOKENS)
        ca, pair = str(self.trust.ca), [str(self.pems / "server.pem"), str(self.pems / "server-key.pem")]
        arguments = ["--admin-tokens", str(home / "tokens"), "--admin-client-ca", ca]
        arguments += ["--admin-certificate", pair[0], "--admin-key", pair[1], "--peers-ca", ca]
        arguments += ["--peers-token-file", str(self.token(which))]
        arguments += [part for port in self.ports for part in ("--peers", url(port))]
        stack = self._stacks[which] = contextlib.ExitStack()
        control = served(
            home,
            *arguments,
            ca=self.trust.ca,
            admin=self.ports[which],
            until="/healthz",
            LANEWAY_PEERS_WAIT="20",
        )
        self.running[which] = stack.enter_context(control)

    def stop(self, which: int) -> None:
        if which in self._stacks:
            self._stacks.pop(which).close()

    def asked(self, which: int) -> list[dict[str, Any]]:
        """What one says of the others that it asked."""
        context = ssl.create_default_context(cafile=self.trust.ca)
        context.load_cert_chain(self.pems / "server.pem", self.pems / "server-key.pem")
        headers = {"authorization": f"Bearer {OPERATOR}"}
        with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
            answer = client.get(f"{url(self.ports[which])}/v1/metrics/summary", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["peers"]

    def wait_answers(self) -> None:
        """Until each has the other's answer."""
        for which in (0, 1):
            expected = [{"peer": url(self.ports[1 - which])}]
            wait_for(lambda w=which, e=expected: self.asked(w) == e, self.running[which].process)


def url(port: int) -> str:
    return f"https://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    made = Two(tmp_path_factory.mktemp("two"))
    try:
        made.serve(0)
        made.serve(1)
        yield made
    finally:
        made.stop(0)
        made.stop(1)


def test_they_know_each_other_by_certificate_and_token(two: Two) -> None:
    """And go on when a CA and all its certificates are replaced while one runs, and the other starts anew."""
    two.wait_answers()
    two.renew()
    two.serve(1)
    two.wait_answers()


def test_a_wrong_token_is_named(two: Two) -> None:
    two.wait_answers()
    file = two.token(0)
    for token, said in (
        (b"another-secret", "it answered 401: set peers_token_file"),
        (b"\xff", "the file with the token cannot be used"),
        (VIEWER.encode() + b"\nsecond", "the token has a space, a line break"),
    ):
        file.write_bytes(token)
        (found,) = two.asked(0)
        assert said in found["problem"]
        assert VIEWER not in str(found)
    file.unlink()
    (found,) = two.asked(0)
    assert "the file with the token cannot be used" in found["problem"]
    file.write_text(VIEWER)
    two.wait_answers()
