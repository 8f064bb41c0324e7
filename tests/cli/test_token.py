"""`laneway token create | list | revoke`, and a server that follows the file."""

from __future__ import annotations

import hmac
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controlplane.auth import token_file
from controlplane.auth.rights import Rights, rights_of
from controlplane.auth.tokens import Refused, Token, Tokens, digest_of, parse_tokens
from tests.cli.ports import wait_for
from tests.cli.run import laneway
from tests.cli.served import served
from tests.opcodes import executed


def test_a_token_from_create_to_revoke(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    where = ("--file", str(file))
    made = laneway("token", "create", "root", "--role", "admin", "--expires", "never", *where).strip()
    assert re.fullmatch(r"laneway_[A-Za-z0-9_-]{43}", made)
    assert made not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with served(tmp_path, "--admin-tokens", str(file)) as one:

        def answer(token: str, method: str = "GET", path: str = "/v1/lanes") -> int:
            return one.http.request(method, path, headers={"authorization": f"Bearer {token}"}).status_code

        assert answer(made) == 200
        ci = laneway("token", "create", "ci", "--role", "operator:a", "--role", "operator:b", *where).strip()
        wait_for(lambda: answer(ci) == 200, one.process)
        assert answer(ci, "DELETE", "/v1/lane-groups/a/lanes/x") == 404
        assert answer(ci, "DELETE", "/v1/lane-groups/c/lanes/x") == 403
        listed = laneway("token", "list", *where)
        assert "operator of a, b" in listed
        assert ci not in listed
        assert digest_of(ci).hex() not in listed
        laneway("token", "revoke", "ci", *where)
        wait_for(lambda: answer(ci) == 401, one.process)
        laneway("token", "revoke", "root", *where)
        wait_for(lambda: answer(made) == 401, one.process)
        log = one.log.read_text()
        assert ci not in log
        assert made not in log


def test_what_create_refuses(tmp_path: Path) -> None:
    where = ("--file", str(tmp_path / "tokens"))
    laneway("token", "create", "ann", "--role", "viewer", *where)
    for arguments, said in (
        (("ann", "--role", "viewer"), "revoke it first"),
        (("bob", "--role", "root"), "is not a role"),
        (("bob", "--role", "operator"), "is not a role"),
        (("bob", "--role", "viewer", "--expires", "soon"), "--expires"),
        (("bob", "--role", "viewer", "--expires", "2020-01-01T00:00:00Z"), "in the past"),
        (("b b", "--role", "viewer"), "is not the name"),
    ):
        assert said in laneway("token", "create", *arguments, *where, code=2).replace("\n", " ")
    assert "has no token named bob" in laneway("token", "revoke", "bob", *where, code=2).replace("\n", " ")
    assert [one.name for one in token_file.tokens_in(tmp_path / "tokens")] == ["ann"]


def test_at_the_same_time_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text("# mine\nold: a-plain-token # not a comment\n".replace(" # not a comment", ""))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: token_file.create(path, f"t{n}", Rights(), None), range(40)))
        list(pool.map(lambda n: token_file.revoke(path, f"t{n}"), range(0, 40, 2)))
    names = [one.name for one in token_file.tokens_in(path)]
    assert sorted(names) == sorted(["old", *(f"t{n}" for n in range(1, 40, 2))])
    assert path.read_text().startswith("# mine\n")


def test_an_expired_token_is_refused_and_is_no_guess() -> None:
    now = time.time()
    tokens = Tokens.of([Token("ci", digest_of("secret"), Rights(), now, now + 60)], clock=lambda: now)
    assert tokens.caller_of("secret").name == "ci"
    now += 60
    with pytest.raises(Refused, match="expired") as refused:
        tokens.caller_of("secret")
    assert not refused.value.guess
    with pytest.raises(Refused) as refused:
        tokens.caller_of("other")
    assert refused.value.guess


def test_the_time_of_an_answer_says_nothing_about_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is given is compared with every token, and no comparison ends early."""
    texts = [f"secret-number-{number:02}-of-twenty" for number in range(20)]
    tokens = Tokens.of([Token(text, digest_of(text), Rights()) for text in texts])

    def refused(given: str) -> None:
        with pytest.raises(Refused):
            tokens.caller_of(given)

    of_wrong = {executed(lambda given=given: refused(given)) for given in (
        "x" * 27, texts[0][:-1] + "X", texts[19][:-1] + "X", "X" + texts[0][1:], "y" * 2_000,
    )}  # fmt: skip
    assert len(of_wrong) == 1, "how much is right shows"
    of_right = {executed(lambda text=text: tokens.caller_of(text)) for text in texts}
    assert len(of_right) == 1, "the place in the file shows"
    compared = list[int]()

    def counted(one: bytes, other: bytes) -> bool:
        compared[-1] += 1
        return compare(one, other)

    compare = hmac.compare_digest  # in constant time; == would end at the first byte that differs
    monkeypatch.setattr(hmac, "compare_digest", counted)
    for given in (texts[0], texts[19]):
        compared.append(0)
        assert tokens.caller_of(given).name == given
    compared.append(0)
    refused("x")
    assert compared == [20, 20, 20]


def test_lines_are_read_as_they_are_written() -> None:
    token = Token("a@b", digest_of("x"), rights_of(["operator:b", "operator:a"]), 1e9, 2e9)
    assert parse_tokens(token.line(), "f") == [token]
    for wrong in (
        "a: sha256=12 role=admin",
        f"a: sha256={'0' * 64} role=boss",
        f"a: sha256={'0' * 64} role=admin expires=tomorrow",
        f"a: sha256={'0' * 64} role=admin role=viewer",
        f"a: sha256={'0' * 64} expires=2027-01-01T00:00:00Z",
        f"a: sha256={'0' * 64} role=admin expires=2027-01-01T00:00:00",
        f"a: sha256={'0' * 64} role=viewer,",
    ):
        with pytest.raises(ValueError, match="f, line 1"):
            parse_tokens(wrong, "f")
