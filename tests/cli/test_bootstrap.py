"""What `laneway bootstrap` writes is what Envoy takes and the control plane understands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from controlplane.cli import envoy_config
from tests.cli.ports import free_port, wait_for
from tests.cli.run import laneway

ENVOY = Path(sys.executable).with_name("envoy")
SAMPLES = Path(__file__).parents[2] / "envoy"

SIDECAR = ("sidecar", "--application", "spring-cloud-a", "--address", "10.0.3.177")


def test_edge():
    config = yaml.safe_load(
        laneway("bootstrap", "edge", "--gateway", "shop", "--node-id", "n1", "--admin-port", "15001")
    )
    assert config["node"] == {
        "id": "n1",
        "cluster": "shop",
        "metadata": {"role": "edge", "reports": "laneway-xds"},
    }
    assert config["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15001}
    ads = config["dynamic_resources"]["ads_config"]
    assert ads["grpc_services"][0]["envoy_grpc"]["retry_policy"]["retry_back_off"]["max_interval"] == "5s"
    assert ads["api_type"] == "DELTA_GRPC"


def test_sidecar_says_all_that_the_control_plane_reads():
    config = json.loads(
        laneway(
            "bootstrap", *SIDECAR, "--service", "sc-A:20001:30001", "--tag", "gray", "--calls", "sc-B",
            "--egress-address", "127.0.0.9", "--app-address", "127.0.0.1", "-o", "json",
        )
    )  # fmt: skip
    assert config["node"]["cluster"] == "spring-cloud-a"
    assert config["node"]["metadata"] == {
        "role": "sidecar",
        "address": "10.0.3.177",
        "capture": "proxy",
        "tag": "gray",
        "services": [{"service": "sc-A", "port": 20001, "app_port": 30001}],
        "calls": ["sc-B"],
        "app_address": "127.0.0.1",
        "egress_address": "127.0.0.9",
        "reports": "laneway-xds",
    }


def test_a_named_port_and_redirect_capture():
    text = laneway("bootstrap", *SIDECAR, "--service", "k8s/default//shop:http:8080", "--capture", "redirect")
    services = yaml.safe_load(text)["node"]["metadata"]["services"]
    assert services == [{"service": "k8s/default//shop:http", "port": 8080}]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((*SIDECAR, "--service", "sc-A"), "NAME:PORT"),
        ((*SIDECAR, "--service", "sc-A:20001"), "APP_PORT"),
        ((*SIDECAR, "--service", "sc-A:20001:99999"), "NAME:PORT"),
        (("edge", "--xds", "nowhere"), "host:port"),
        (("grpc", "--application", "a", "--xds", "nowhere"), "host:port"),
        (("edge", "--admin-port", "70000"), "admin-port"),
    ],
)
def test_wrong_arguments_are_a_usage_error(arguments: tuple[str, ...], word: str):
    assert word in laneway("bootstrap", *arguments, code=2)


@pytest.mark.parametrize("xds", ["127.0.0.1:18000", "control-plane.local:18000", "[::1]:18000"])
@pytest.mark.parametrize(
    "role", [("edge",), (*SIDECAR, "--service", "sc-A:20001:30001")], ids=["edge", "sidecar"]
)
def test_envoy_takes_it(role: tuple[str, ...], xds: str, tmp_path: Path):
    file = tmp_path / "bootstrap.yaml"
    laneway("bootstrap", *role, "--xds", xds, "--admin-port", "0", "--file", str(file))
    command = [ENVOY, "--mode", "validate", "--disable-hot-restart", "-c", file]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_samples_are_what_the_command_writes():
    result = subprocess.run(
        [sys.executable, SAMPLES / "regenerate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


SHOP = "nacos/public/DEFAULT_GROUP/com.acme.Shop:http"
CLUSTERS = {
    f"{SHOP}|base": {"laneway_tag": "base"},
    f"{SHOP}|spring-cloud-a,x|gray.v1": {"laneway_tag": "gray.v1", "laneway_application": "spring-cloud-a,x"},
    f"{SHOP}|app|gray|strict": {"laneway_tag": "gray", "laneway_application": "app"},
    f"{SHOP}|app|gray>base": {
        "laneway_tag": "gray",
        "laneway_application": "app",
        "laneway_fallback": "base",
    },
}


def test_statistics_are_labelled_by_service_application_and_tag(tmp_path: Path):
    """As Prometheus reads them, from a port that answers nothing else."""
    admin, port = free_port(), free_port()
    config = envoy_config.bootstrap(
        "n",
        "edge",
        envoy_config.edge_metadata(),
        ("127.0.0.1", free_port()),
        ("127.0.0.1", admin),
        metrics=("127.0.0.1", port),
    )
    del config["dynamic_resources"]
    config["static_resources"]["clusters"] += [
        {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name}}
        for name in (*CLUSTERS, "inbound|20001")
    ]
    file = tmp_path / "bootstrap.json"
    file.write_text(json.dumps(config))
    with (tmp_path / "envoy.log").open("wb") as log:
        command = [ENVOY, "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{admin}"
        wait_for(lambda: httpx.get(f"{url}/ready", trust_env=False).status_code == 200, process)
        text = httpx.get(f"{url}/stats/prometheus", trust_env=False).text
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as open_to_all:
            read = open_to_all.get("/metrics")
            others = [
                open_to_all.request(method, path).status_code
                for method, path in (
                    ("POST", "/metrics"),
                    ("POST", "/quitquitquit"),
                    ("GET", "/metrics/../config_dump"),
                    ("GET", "/stats"),
                    ("GET", "//metrics"),
                    ("GET", "/%6Detrics"),
                )
            ]
    finally:
        process.terminate()
        process.wait(10)
    assert read.status_code == 200
    assert "envoy_server_uptime" in read.text
    assert set(others) == {404}
    assert 'envoy_cluster_membership_total{envoy_cluster_name="inbound|20001"}' in text
    for metric in ("membership_total", "circuit_breakers_default_rq_open", "membership_healthy"):
        found = [
            {key: value for key, value in re.findall(r'(\w+)="([^"]*)"', line) if key != "envoy_cluster_name"}
            for line in text.splitlines()
            if line.startswith(f"envoy_cluster_{metric}{{") and "laneway_service" in line
        ]
        service = {"laneway_service": SHOP.replace(":", "_")}
        wanted = [service | labels for labels in CLUSTERS.values()]
        assert sorted(map(sorted, map(dict.items, found))) == sorted(map(sorted, map(dict.items, wanted)))


@pytest.mark.parametrize("where", ["15090", "localhost:15090", "0.0.0.0:0"])
def test_metrics_need_an_address_and_a_port(where: str):
    assert "--metrics" in laneway("bootstrap", "edge", "--metrics", where, code=2)


TLS = ("--xds-ca", "ca.pem", "--xds-certificate", "own.pem", "--xds-key", "own-key.pem")


@pytest.mark.parametrize("xds", ["127.0.0.1:18000", "control-plane.local:18000", "[::1]:18000"])
@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize(
    "role", [("edge",), (*SIDECAR, "--service", "sc-A:20001:30001")], ids=["edge", "sidecar"]
)
def test_envoy_takes_certificates_by_path(
    role: tuple[str, ...], xds: str, mutual: bool, tmp_path: Path
) -> None:
    """Certificates that do not exist yet, too: they may come later than the Envoy."""
    file = tmp_path / "bootstrap.yaml"
    paths = [str(tmp_path / word) if word.endswith(".pem") else word for word in TLS[: 6 if mutual else 2]]
    more = ("--xds-name", "spiffe://mesh.test/server") if mutual else ()
    laneway("bootstrap", *role, "--xds", xds, *paths, *more, "--admin-port", "0", "--file", str(file))
    written = sorted(path.name for path in tmp_path.iterdir())
    own = ["bootstrap-xds-certificate.yaml"] if mutual else []
    assert written == ["bootstrap-xds-ca.yaml", *own, "bootstrap.yaml"]
    secret = yaml.safe_load((tmp_path / "bootstrap-xds-ca.yaml").read_text())["resources"][0]
    assert secret["validation_context"] == {
        "trusted_ca": {"filename": str(tmp_path / "ca.pem")},
        "watched_directory": {"path": str(tmp_path)},
    }
    command = [ENVOY, "--mode", "validate", "--disable-hot-restart", "-c", file]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_grpc_client_gets_certificates_by_path():
    config = json.loads(laneway("bootstrap", "grpc", "--application", "shop", *TLS))
    assert config["xds_servers"][0]["channel_creds"] == [
        {
            "type": "tls",
            "config": {
                "ca_certificate_file": "ca.pem",
                "certificate_file": "own.pem",
                "private_key_file": "own-key.pem",
                "refresh_interval": "60s",
            },
        }
    ]
    assert json.loads(laneway("bootstrap", "grpc", "--application", "shop"))["xds_servers"][0][
        "channel_creds"
    ] == [{"type": "insecure"}]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (TLS[:4], "--xds-key"),
        (TLS[2:], "--xds-ca is missing"),
        (("--xds-name", "x"), "--xds-ca is missing"),
        (TLS, "--file"),
    ],
)
def test_certificates_that_do_not_fit_together(arguments: tuple[str, ...], word: str):
    assert word in laneway("bootstrap", "edge", *arguments, code=2)
