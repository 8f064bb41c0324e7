"""Settings of `laneway serve`, by precedence: command line, environment, file of `--config`, defaults.

Every field is also a variable `LANEWAY_<FIELD>`; those about Nacos can also be given under the
`NACOS_*` names that its users know. In the YAML file the keys are the field names as they stand here.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from controlplane.admin.exposure import is_loopback
from controlplane.admin.hosts import name_of
from controlplane.app.admin_settings import Names
from controlplane.app.peers import check_url, is_plain
from controlplane.app.xds_settings import XdsSettings
from controlplane.model.urls import place_of
from controlplane.registry.metadata import APPLICATION_KEYS, GRPC_PORT_KEYS
from controlplane.xds.identities import Identities

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _nacos(field: str, *others: str) -> AliasChoices:
    """The names of a Nacos setting: the field, its LANEWAY_ form, and the variables that Nacos users know."""
    return AliasChoices(field, f"laneway_{field}", *others)


class Settings(XdsSettings):
    """What a control plane needs to know to start. Durations are seconds."""

    model_config = SettingsConfigDict(
        env_prefix="LANEWAY_", extra="forbid", frozen=True, populate_by_name=True
    )

    traffic_series: int = Field(
        4_000, ge=16, le=200_000, description="most series of traffic in memory, some 24 KiB each"
    )
    traffic_metrics: int = Field(
        2_000, ge=16, le=200_000, description="most sets of labels of traffic that /metrics shows"
    )
    traffic_message_bytes: int = Field(
        1 << 19, ge=1 << 12, description="largest message of a proxy's report of traffic"
    )
    traffic_waiting_bytes: int = Field(
        64 << 20, ge=1 << 20, description="bytes of reports of traffic that wait to be read, of all proxies"
    )
    peers: Names = Field(
        (),
        description="admin ports of all control planes, such as https://laneway-2:18080; each is asked for "
        "the traffic that it counts; this one's own may be among them",
    )
    peers_wait: float = Field(
        1.0, gt=0, le=30, description="how long an answer about traffic waits for the other control planes"
    )
    peers_token_file: Path | None = Field(
        None, description="file with a token of the role viewer for the other control planes"
    )
    peers_ca: Path | None = Field(
        None,
        description="CA of the admin certificates of the other control planes (PEM); unset: the system's",
    )
    admin: str = Field("127.0.0.1:18080", description="address:port of the admin API")
    secrets: Path | None = Field(
        None,
        description="directory of certificates for listeners of gateways: NAME/tls.crt and NAME/tls.key; "
        "sent only over mTLS",
    )
    release_urls: Names = Field(
        (),
        description="URLs below which releases may ask a Prometheus or call web hooks, such as "
        "https://prometheus.example.com/; none by default",
    )
    release_ca: Path | None = Field(None, description="CA of these servers (PEM); unset: those of the system")
    services: Path | None = Field(None, description="file or directory of the file source")
    definitions: Path | None = Field(None, description="applied at start if the store is empty")
    store: str = Field(
        "sqlite:laneway.db", description="sqlite:PATH, memory, nacos, kubernetes or kubernetes:NAMESPACE"
    )
    state_dir: Path | None = Field(
        None,
        description="directory for the last known services and the Nacos SDK's files; unset: not kept",
    )
    admin_hosts: Names = Field(
        (), description="host names under which clients call the admin API, besides localhost and its address"
    )
    admin_connections: int = Field(
        256, ge=16, le=65_536, description="most connections to the admin API, all clients together"
    )
    admin_connections_per_address: int = Field(
        64, ge=1, description="most connections to the admin API from one address"
    )
    admin_header_time: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="how long a client of the admin API may take to send the headers of a request",
    )
    admin_body_time: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="how long a client of the admin API may take to send the body or to read the answer",
    )
    admin_handshake_cpu: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share of a core that TLS handshakes of the admin API may take over time",
    )
    admin_failed_logins: int = Field(
        10, ge=1, description="most wrong tokens that one address may send in a minute"
    )
    allow_envoy_patches: bool = Field(
        False, description="take gateways with envoy_patches, by which whoever may change gateways runs code"
    )
    envoy_binary: Path | None = Field(
        None, description="the Envoy that validates envoy_patches; unset: only the trial finds mistakes"
    )
    lane_drain: float = Field(
        5.0, ge=0, description="how long sidecars still honour a lane after it was switched off"
    )
    empty_hold: float = Field(
        300.0,
        ge=0,
        description="how long the last good base instances are served after their source lost them",
    )
    trial_wait: float = Field(
        0.5,
        ge=0,
        description="how long a changed listener or route configuration waits for the answers of the two "
        "proxies that get it first, before others are asked; 0: it goes to all at once",
    )
    propagation_every: float = Field(
        0.0,
        ge=0,
        description="every so many seconds, sidecars report their requests for 5 s to see which applications "
        "lose the lane; 0: only when asked",
    )
    tag_keys: Names = Field(
        (),
        description="metadata keys of the tag, the first one present counts; empty: the built-in keys",
    )
    base_tags: Names = Field((), description="values of these keys that mean base, such as base or 1.0")
    application_keys: Names = Field(
        APPLICATION_KEYS,
        description="metadata keys of the application, the first one with a value counts",
    )
    version_key: str = Field(
        "version",
        min_length=1,
        max_length=253,
        description="metadata key of an instance's version, which a promotion compares before it is finished",
    )
    grpc_port_keys: Names = Field(
        GRPC_PORT_KEYS,
        description="metadata keys that hold the port of a gRPC server beside the registered port",
    )
    log_format: Literal["console", "json"] = Field("console", description="format of log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level of log lines that are written"
    )

    kubernetes: bool = Field(
        False, description="read Services, EndpointSlices and pods of the cluster that this process runs in"
    )
    kubernetes_config: Path | None = Field(
        None, description="kubeconfig of the cluster to read, in place of the one that this process runs in"
    )
    kubernetes_context: str = Field("", description="context of the kubeconfig; empty: its current one")
    kubernetes_namespaces: Names = Field((), description="namespaces that are read; if empty, all")
    kubernetes_namespace_selector: str = Field(
        "", description="label selector of the namespaces that are read, such as lanes=on"
    )

    gateway_api: bool = Field(
        False,
        description="take HTTPRoutes of the cluster (Gateway API) as routes, and write their status",
    )

    kubernetes_deployments: Literal["off", "compare", "replace"] = Field(
        "off",
        description="what a promotion does with Deployments: compare their images before it is finished, or "
        "also replace those of base where it is asked to",
    )

    nacos: Names = Field(
        (), description="host:port of Nacos servers", validation_alias=_nacos("nacos", "nacos_server_addr")
    )
    nacos_namespace: str = Field("public", validation_alias=_nacos("nacos_namespace"))
    nacos_groups: Names = Field(("DEFAULT_GROUP",), validation_alias=_nacos("nacos_groups", "nacos_group"))
    nacos_services: Names = Field(
        (),
        description="names or patterns of services; if empty, all",
        validation_alias=_nacos("nacos_services"),
    )
    nacos_username: str = Field("", validation_alias=_nacos("nacos_username"))
    nacos_password: str = Field("", repr=False, validation_alias=_nacos("nacos_password"))
    nacos_access_key: str = Field("", validation_alias=_nacos("nacos_access_key"))
    nacos_secret_key: str = Field("", repr=False, validation_alias=_nacos("nacos_secret_key"))
    nacos_tls: bool = Field(False, validation_alias=_nacos("nacos_tls", "nacos_tls_enable"))
    nacos_ca_file: Path | None = Field(None, validation_alias=_nacos("nacos_ca_file"))

    @field_validator(
        "nacos", "nacos_groups", "nacos_services", "tag_keys", "base_tags", "grpc_port_keys", "admin_hosts",
        "xds_identities", "application_keys", "kubernetes_namespaces", "peers", "release_urls", mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Lists are comma separated in variables."""
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("xds", "admin")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        endpoint(value)
        return value

    @field_validator("admin_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if name_of(one) is None or "*" in one:
                raise ValueError(f"{one!r} is not the name of a host: write laneway.example.com")
        return value

    @field_validator("nacos")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("@" in one for one in value):
            raise ValueError(
                "an address of Nacos holds no user or password: set NACOS_USERNAME and NACOS_PASSWORD"
            )
        return value

    @field_validator("peers")
    @classmethod
    def _peers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            check_url(one)
        return value

    @field_validator("xds_identities")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Identities(value)
        return value

    @field_validator("release_urls")
    @classmethod
    def _release_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                place_of(one)
            except ValueError as error:
                raise ValueError(f"{one!r} {error}: write https://prometheus.example.com/, say") from None
        return value

    @field_validator("envoy_binary")
    @classmethod
    def _executable(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_file() and os.access(value, os.X_OK)):
            raise ValueError(f"{value} is not a program: give the path of an Envoy")
        return value

    @field_validator("secrets")
    @classmethod
    def _directory(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"{value} is not a directory: make it, with NAME/tls.crt and NAME/tls.key in it")
        return value

    @field_validator("store")
    @classmethod
    def _store(cls, value: str) -> str:
        if value in ("memory", "nacos", "kubernetes") or (value.startswith("sqlite:") and value != "sqlite:"):
            return value
        if value.startswith("kubernetes:") and _NAMESPACE.fullmatch(value.partition(":")[2]):
            return value
        raise ValueError("write sqlite:PATH, memory, nacos, kubernetes or kubernetes:NAMESPACE")

    @field_validator("nacos_ca_file", "release_ca")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=str(value) if value is not None else None)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"{value} is not a file of certificates (PEM): {error}") from None
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Settings:
        if (self.xds_certificate is None) != (self.xds_key is None):
            raise ValueError("xds_certificate and xds_key belong together: give both, or neither")
        if self.xds_client_ca is not None and self.xds_certificate is None:
            raise ValueError(
                "xds_client_ca needs xds_certificate and xds_key: only TLS asks for certificates"
            )
        if not (self.xds_certificate or self.xds_allow_plaintext or is_loopback(endpoint(self.xds)[0])):
            raise ValueError(
                f"the xDS address {self.xds} is not a loopback address: give --xds-certificate, --xds-key "
                "and --xds-client-ca, or --xds-allow-plaintext if everyone who reaches it may be any proxy"
            )
        return self

    @model_validator(mode="after")
    def _asked(self) -> Settings:
        plain = [one for one in self.peers if is_plain(one)]
        if plain and self.peers_token_file is not None and not self.admin_allow_plaintext:
            raise ValueError(
                f"the token for {plain[0]} would travel in plain text: write https://, or set "
                "admin_allow_plaintext"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not self.nacos_tls and any(one.startswith("https://") for one in self.nacos):
            raise ValueError("an address of Nacos begins with https://, but TLS is off: set NACOS_TLS=true")
        if self.kubernetes_namespaces and self.kubernetes_namespace_selector:
            raise ValueError(
                "kubernetes_namespaces and kubernetes_namespace_selector exclude each other: give one"
            )
        if (
            self.kubernetes_context or self.kubernetes_namespaces or self.kubernetes_namespace_selector
        ) and not (self.reads_kubernetes or self.stores_in_kubernetes):
            raise ValueError(
                "settings of Kubernetes have no effect: give --kubernetes, or --kubernetes-config FILE"
            )
        if self.kubernetes_context and self.kubernetes_config is None:
            raise ValueError("kubernetes_context is one of a kubeconfig: give --kubernetes-config FILE, too")
        if self.gateway_api and not self.reads_kubernetes:
            raise ValueError("gateway_api needs the services of the cluster: give --kubernetes, too")
        if self.kubernetes_deployments != "off" and not self.reads_kubernetes:
            raise ValueError("kubernetes_deployments needs the pods of the cluster: give --kubernetes, too")
        if self.store == "nacos" and not self.nacos:
            raise ValueError("store nacos needs the address of a Nacos server (--nacos)")
        return self

    @property
    def reads_kubernetes(self) -> bool:
        """Whether Kubernetes is a source of services. A kubeconfig alone means that unless definitions are in
        Kubernetes.
        """
        return self.kubernetes or (self.kubernetes_config is not None and not self.stores_in_kubernetes)

    @property
    def stores_in_kubernetes(self) -> bool:
        """Whether definitions are custom resources."""
        return self.store.partition(":")[0] == "kubernetes"


def endpoint(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; an empty host means every address. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not of the form address:port")
    return host.strip("[]") or "0.0.0.0", int(port)


def load(config: Path | None, overrides: dict[str, Any]) -> Settings:
    """The settings from `overrides` (None is absent), the environment, the YAML file and the defaults.

    Raises pydantic.ValidationError where a value is wrong or a key of the file is unknown, OSError or
    yaml.YAMLError where the file cannot be read.
    """
    if config is not None:
        config.read_bytes()  # pydantic-settings passes over a file that is not there

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if config is None:
                return init_settings, env_settings
            return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config)

    return FileSettings(**{key: value for key, value in overrides.items() if value is not None})
