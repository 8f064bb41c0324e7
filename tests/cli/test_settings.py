"""Where settings come from, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from controlplane.app.parts import nacos_of, snapshots_of
from controlplane.app.settings import endpoint, load
from tests.certificates import certificate
from tests.cli.run import laneway


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(("LANEWAY_", "NACOS_")):
            monkeypatch.delenv(name)


def test_defaults():
    settings = load(None, {})
    assert (settings.xds, settings.admin) == ("127.0.0.1:18000", "127.0.0.1:18080")
    assert (settings.lane_drain, settings.empty_hold) == (5.0, 300.0)
    assert settings.trial_wait == 0.5
    assert settings.nacos_groups == ("DEFAULT_GROUP",)


@pytest.mark.parametrize(("namespace", "name"), [("", "public"), ("public", "public"), ("prod", "prod")])
def test_a_snapshot_is_of_the_namespace_whichever_way_it_is_written(namespace: str, name: str):
    settings = load(None, {"store": "nacos", "nacos": "n:8848", "nacos_namespace": namespace})
    assert snapshots_of(settings).store == f"nacos:{name}/LANEWAY"


def test_option_over_variable_over_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    file = tmp_path / "laneway.yaml"
    file.write_text(
        "xds: 127.0.0.1:1\nadmin: 127.0.0.1:1\nstore: memory\nnacos: [a:8848, b:8848]\nlane_drain: 2\n"
    )
    monkeypatch.setenv("LANEWAY_XDS", "127.0.0.1:2")
    monkeypatch.setenv("LANEWAY_ADMIN", "127.0.0.1:2")
    settings = load(file, {"xds": "127.0.0.1:3", "store": None})
    assert (settings.xds, settings.admin, settings.store) == ("127.0.0.1:3", "127.0.0.1:2", "memory")
    assert (settings.nacos, settings.lane_drain) == (("a:8848", "b:8848"), 2.0)


def test_the_variables_that_nacos_users_know(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NACOS_SERVER_ADDR", "n1:8848, n2:8848")
    monkeypatch.setenv("NACOS_NAMESPACE", "staging")
    monkeypatch.setenv("NACOS_USERNAME", "laneway")
    monkeypatch.setenv("NACOS_PASSWORD", "hunter-2")
    monkeypatch.setenv("LANEWAY_NACOS_GROUPS", "A,B")
    settings = load(None, {})
    assert settings.nacos == ("n1:8848", "n2:8848")
    assert (settings.nacos_namespace, settings.nacos_groups) == ("staging", ("A", "B"))
    assert settings.nacos_password == "hunter-2"
    assert "hunter-2" not in repr(settings)


def test_how_nacos_lets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    ca = certificate(tmp_path, "ca")
    for name, value in (
        ("NACOS_GROUP", "orders"),
        ("NACOS_SERVICES", "sc-*,gateway"),
        ("NACOS_ACCESS_KEY", "key"),
        ("NACOS_SECRET_KEY", "hidden"),
        ("NACOS_TLS_ENABLE", "true"),
        ("NACOS_CA_FILE", str(ca)),
    ):
        monkeypatch.setenv(name, value)
    settings = load(None, {"nacos": ["https://n1:8848"], "state_dir": tmp_path})
    at = nacos_of(settings)
    assert (at.groups, at.services) == (("orders",), ("sc-*", "gateway"))
    assert (at.access_key, at.secret_key, at.tls, at.ca_file) == ("key", "hidden", True, ca)
    assert at.directory() == tmp_path / "nacos"
    assert "hidden" not in f"{settings!r} {at!r}"


@pytest.mark.parametrize(
    "values",
    [
        {"xds": "nowhere"},
        {"admin": "127.0.0.1:99999"},
        {"store": "sqlite:"},
        {"store": "nacos"},
        {"nacos": "https://nacos:8848"},
        {"nacos_ca_file": "/absent.pem"},
        {"nacos_ca_file": __file__},
        {"lane_drain": -1},
        {"trial_wait": -0.1},
        {"log_format": "xml"},
        {"unknown": 1},
        {"admin": "0.0.0.0:18080"},
        {"xds": "0.0.0.0:18000"},
        {"xds": ":18000"},
        {"xds": "[::]:18000"},
        {"xds": "laneway.example.com:18000"},
        {"xds_certificate": "c.pem"},
        {"admin_certificate": "c.pem"},
        {"admin_client_ca": "ca.pem"},
        {"xds_key": "k.pem"},
        {"xds_client_ca": "ca.pem"},
        {"xds_identities": "spiffe://x/{user}"},
    ],
    ids=str,
)
def test_refused(values: dict):
    with pytest.raises(ValidationError):
        load(None, values)


PAIR = {"admin_certificate": "c", "admin_key": "k"}


@pytest.mark.parametrize(
    "given",
    [{}, {"admin_allow_anonymous": True}, {"token_file": "t"}, PAIR, {"admin_allow_plaintext": True},
     {"admin_certificate": "c", "token_file": "t"}, {"admin_client_ca": "ca", **PAIR}],
    ids=str,
)  # fmt: skip
def test_admin_off_loopback_needs_tls_and_authentication_or_the_word(given: dict):
    with pytest.raises(ValidationError):
        load(None, {"admin": "0.0.0.0:1", **given})


@pytest.mark.parametrize("who", [{"admin_allow_anonymous": True}, {"token_file": "t"}], ids=str)
@pytest.mark.parametrize("how", [PAIR, {"admin_allow_plaintext": True}], ids=str)
def test_admin_off_loopback(who: dict, how: dict):
    assert load(None, {"admin": "0.0.0.0:1", **who, **how}).admin == "0.0.0.0:1"


def test_origins_are_origins():
    assert load(None, {"admin_cors_origins": "https://a.example, http://b:1"}).admin_cors_origins == (
        "https://a.example",
        "http://b:1",
    )
    for wrong in ("*", "https://*.example", "a.example", "https://a.example/", "https://a.example/x", "null"):
        with pytest.raises(ValidationError, match="origin"):
            load(None, {"admin_cors_origins": wrong})


def test_xds_off_loopback_needs_tls_or_consent():
    assert load(None, {"xds": "0.0.0.0:1", "xds_allow_plaintext": True}).xds == "0.0.0.0:1"
    assert load(None, {"xds": "0.0.0.0:1", "xds_certificate": "c", "xds_key": "k"}).xds_client_ca is None


def test_serve_refuses_to_leave_loopback_in_plain_text():
    text = laneway("serve", "--xds", "0.0.0.0:0", "--store", "memory", code=2)
    assert "--xds-allow-plaintext" in text
    assert "--xds-client-ca" in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1.2.3.4:5", ("1.2.3.4", 5)), ("[::1]:5", ("::1", 5)), (":5", ("0.0.0.0", 5))],
)
def test_endpoint(text: str, wanted: tuple[str, int]):
    assert endpoint(text) == wanted


def test_serve_tells_each_wrong_setting(tmp_path: Path):
    file = tmp_path / "laneway.yaml"
    file.write_text("stor: memory\nxds: nowhere\n")
    text = laneway("serve", "--config", str(file), code=2)
    assert "stor" in text
    assert "nowhere" in text
    assert "cannot read" in laneway("serve", "--config", str(tmp_path / "absent.yaml"), code=2)


@pytest.mark.parametrize(
    "wrong", ["laneway-2:18080", "https://laneway-2/v1", "ftp://laneway-2", "https://a:b@c"]
)
def test_peers_are_admin_ports(wrong: str):
    with pytest.raises(ValidationError, match=r"laneway-2|is not|password"):
        load(None, {"peers": wrong})


def test_a_token_for_peers_does_not_travel_in_plain_text(tmp_path: Path):
    given = {"peers": "https://laneway-1:18080,http://10.0.0.2:18080", "peers_token_file": tmp_path}
    with pytest.raises(ValidationError, match=r"the token for http://10\.0\.0\.2:18080 would travel"):
        load(None, given)
    assert load(None, given | {"admin_allow_plaintext": True}).peers[1] == "http://10.0.0.2:18080"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nacos_password: 4815162342", "nacos_password: must be a string"),
        ("nacos_pasword: 4815162342", "did you mean nacos_password?"),
        ('nacos_password: "4815162342', "it is not YAML at line"),
        ("nacos_password: *4815162342", "it is not YAML at line 1"),
        ("nacos: http://ann:4815162342@nacos:8848", "set NACOS_USERNAME and NACOS_PASSWORD"),
        ("peers: https://ann:4815162342@laneway-2:18080", "set peers_token_file"),
        ("release_urls: https://ann:4815162342@hooks.test/", "release_urls"),
        (
            "oidc_issuer: a\noidc_roles: [a=viewer]\noidc_jwks: https://ann:4815162342@id.test/keys",
            "no user or password",
        ),
    ],
)
def test_what_may_be_a_secret_is_not_said(text: str, said: str, tmp_path: Path):
    file = tmp_path / "laneway.yaml"
    file.write_text(text)
    told = " ".join(laneway("serve", "--config", str(file), code=2).split())
    assert said in told
    assert "4815162342" not in told


def test_nor_by_the_command():
    for arguments, said in (
        (("--server", "http://ann:4815162342@laneway.test"), "takes no user or password"),
        (("--token", "4815162342\nx"), "no header can carry"),
        (("--token", "\xe94815162342"), "no header can carry"),
    ):
        told = " ".join(laneway("get", "lanes", *arguments, code=2).split())
        assert said in told
        assert "4815162342" not in told
