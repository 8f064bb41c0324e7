"""Which Host headers are taken, by the address that is bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.admin.hosts import Hosts, name_of
from controlplane.auth.tokens import refuse_shared


@pytest.mark.parametrize(
    ("bound", "known", "unknown"),
    [
        (
            "127.0.0.1",
            "127.0.0.1 127.9.9.9:80 [::1]:1 localhost LOCALHOST:9 localhost.",
            "10.0.0.1 0.0.0.0 a.b",
        ),
        ("localhost", "localhost 127.0.0.1", "10.0.0.1 a.b"),
        ("0.0.0.0", "10.0.0.1:18080 [2001:db8::1]:9 localhost 127.0.0.1", "a.b localhost.a.b 10.0.0.1.a.b"),
        ("::", "10.0.0.1 [::1]", "a.b"),
        ("10.0.0.1", "10.0.0.1 10.0.0.1:1 localhost", "10.0.0.2 a.b"),
        ("[2001:db8::1]", "[2001:DB8:0::1]:1 localhost", "[2001:db8::2] a.b"),
        ("laneway.internal", "laneway.internal:1 10.0.0.1 localhost", "a.b internal"),
    ],
)
def test_by_what_is_bound(bound: str, known: str, unknown: str) -> None:
    hosts = Hosts(bound)
    assert [one for one in known.split() if not hosts.known(one)] == []
    assert [one for one in unknown.split() if hosts.known(one)] == []


def test_further_names_are_whole_names() -> None:
    hosts = Hosts("127.0.0.1", ["Laneway.example.com", "10.9.9.9"])
    assert hosts.known("laneway.EXAMPLE.com.:443")
    assert hosts.known("10.9.9.9")
    for other in ("x.laneway.example.com", "laneway.example.com.evil", "example.com", "10.9.9.8"):
        assert not hosts.known(other)


@pytest.mark.parametrize(
    "header",
    ["", " ", ":80", "a b", "localhost:80:90", "localhost:", "localhost@evil", "user@localhost", "[::1",
     "::1", "localhost/evil", "127.0.0.1#", "2130706433 ", "lo\tcalhost", "localhost\n", "locałhost"],
)  # fmt: skip
def test_what_is_no_host_is_not_known(header: str) -> None:
    assert not Hosts("127.0.0.1").known(header) or name_of(header) == "localhost"


def test_other_spellings_of_an_address_are_names() -> None:
    for spelling in ("2130706433", "0x7f.0.0.1", "127.1", "0177.0.0.1"):
        assert not Hosts("0.0.0.0").known(spelling)


@pytest.mark.parametrize(
    ("owner", "mode", "taken"),
    [(0, 0o600, True), (0, 0o440, True), (0, 0o640, True), (0, 0o644, False), (0, 0o660, False),
     (7, 0o400, True), (7, 0o640, False), (7, 0o604, False), (7, 0o610, False)],
)  # fmt: skip
def test_who_may_read_a_file_of_secrets(owner: int, mode: int, taken: bool) -> None:
    status = os.stat_result((0o100000 | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    if taken:
        refuse_shared(Path("tokens"), status)
    else:
        with pytest.raises(ValueError, match="chmod 600 tokens"):
            refuse_shared(Path("tokens"), status)
