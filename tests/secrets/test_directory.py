"""Which pairs are taken, which are refused and with what words, and what stays in force meanwhile."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from controlplane.secrets.directory import Secrets
from controlplane.secrets.pair import read_pair
from tests.keys import DAY, made, pem, put

KEY = ec.generate_private_key(ec.SECP256R1())
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
CA = made("ca.test")[0]
CERTIFICATE = made(key=KEY)[0]


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path, mutual=True)


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        (CERTIFICATE, made()[1], "tls.key is not the key of tls.crt"),
        (CA + CERTIFICATE, pem(KEY), "does not begin with the certificate of tls.key"),
        (b"nothing", pem(KEY), "tls.crt has no certificates"),
        (CERTIFICATE, b"nothing", "tls.key has no key"),
        (CERTIFICATE, LOCKED, "tls.key is protected by a password"),
        (CERTIFICATE, pem(ed25519.Ed25519PrivateKey.generate()), "a kind of key that Envoy does not take"),
        (CERTIFICATE, pem(rsa.generate_private_key(65537, 1024)), "a kind of key that Envoy does not take"),
        (CERTIFICATE * 200, pem(KEY), "tls.crt has more than 65536 bytes"),
        (made(key=KEY, ends=-timedelta(seconds=5))[0], pem(KEY), "the certificate has ended at "),
        (made(key=KEY, begins=DAY)[0], pem(KEY), "the certificate is not valid before "),
    ],
)
def test_what_an_edge_could_not_use_is_refused(
    secrets: Secrets, tmp_path: Path, certificate: bytes, key: bytes, says: str
) -> None:
    put(tmp_path, "shop", (certificate, key))
    found = secrets.examine("shop")
    assert found is not None
    assert says in found.reason
    assert found.remedy
    good = made()
    put(tmp_path, "shop", good)
    assert secrets.look(["shop"]) == ["shop"]
    put(tmp_path, "shop", (certificate, key))
    assert secrets.look(["shop"]) == []
    pair, problem = secrets.get("shop"), secrets.problem("shop")
    assert pair is not None, "the last good one is kept"
    assert (pair.chain, problem) == (good[0], found)
    assert "edges keep the former one" in (secrets.warning("shop") or "")
    assert secrets.reloads["failed"] == 1
    put(tmp_path, "shop", new := made())
    assert secrets.look(["shop"]) == ["shop"]
    assert secrets.held()["shop"].chain == new[0]
    assert (secrets.problem("shop"), secrets.warning("shop"), secrets.failing()) == (None, None, 0)


def test_the_certificates_in_a_file_are_taken_and_keys_beside_them_are_not(tmp_path: Path) -> None:
    pair = read_pair(pem(KEY) + CERTIFICATE + CA, pem(KEY))
    assert pair.chain == CERTIFICATE + CA
    assert pair.version == read_pair(CERTIFICATE + CA, pem(KEY)).version


def test_one_that_has_ended_is_served_where_there_is_no_other(secrets: Secrets, tmp_path: Path) -> None:
    """A restart of the control plane must not take away what edges have."""
    put(tmp_path, "shop", made(ends=-timedelta(seconds=5)))
    assert secrets.get("shop") is not None
    assert secrets.problem("shop") is not None
    assert secrets.failing() == 1


def test_one_that_is_nearly_over_is_warned_about(secrets: Secrets, tmp_path: Path) -> None:
    put(tmp_path, "shop", made(begins=-9 * DAY, ends=1 * DAY))
    assert "renew it" in (secrets.warning("shop") or "")
    assert secrets.problem("shop") is None


@pytest.mark.parametrize("place", ["file", "directory"])
def test_links_do_not_lead_out(tmp_path: Path, place: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    put(outside, "shop", made())
    if place == "directory":
        (inside / "shop").symlink_to(outside / "shop")
    else:
        (inside / "shop").mkdir()
        for name in ("tls.crt", "tls.key"):
            (inside / "shop" / name).symlink_to(outside / "shop" / name)
    found = Secrets(inside, mutual=True).examine("shop")
    assert found is not None
    assert "leads out of the directory of secrets" in found.reason


def test_what_is_no_file_is_not_waited_for(secrets: Secrets, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    os.mkfifo(tmp_path / "shop" / "tls.crt")
    os.mkfifo(tmp_path / "shop" / "tls.key")
    found = secrets.examine("shop")
    assert found is not None
    assert "shop/tls.crt is not a file" in found.reason


def test_nothing_is_read_without_a_directory_or_mtls(tmp_path: Path) -> None:
    put(tmp_path, "shop", made())
    for one, says in ((Secrets(None, mutual=True), "--secrets DIR"), (Secrets(tmp_path), "--xds-client-ca")):
        assert one.get("shop") is None
        found = one.problem("shop")
        assert found is not None
        assert says in found.remedy


def test_what_no_gateway_names_is_forgotten(secrets: Secrets, tmp_path: Path) -> None:
    put(tmp_path, "shop", made())
    assert secrets.get("shop") is not None
    secrets.keep([])
    assert secrets.held() == {}


def test_keys_are_in_no_text(secrets: Secrets, tmp_path: Path) -> None:
    put(tmp_path, "shop", made())
    assert "KEY" not in repr(secrets.get("shop"))
