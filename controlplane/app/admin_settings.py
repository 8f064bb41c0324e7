"""Settings about who may use the admin port, and what is written down of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from controlplane.admin.exposure import check_exposure
from controlplane.auth.jwks import check_place
from controlplane.auth.oidc import mapping_of

Names = Annotated[tuple[str, ...], NoDecode]


class AdminSettings(BaseSettings):
    """The part of the settings of `laneway serve` that is about callers of the admin port."""

    admin_certificate: Path | None = Field(
        None, description="certificate of the admin API with its chain (PEM); read again when it changes"
    )
    admin_key: Path | None = Field(None, description="key of that certificate (PEM)")
    admin_client_ca: Path | None = Field(
        None,
        description="CA of the certificates that clients of the admin API have to show, probes excepted "
        "(PEM); unset: they need none",
    )
    admin_allow_plaintext: bool = Field(
        False, description="serve the admin API without TLS on an address other than loopback"
    )
    token_file: Path | None = Field(
        None,
        description="file of tokens for the admin API, see `laneway token`; read again when it changes",
        validation_alias=AliasChoices("token_file", "laneway_token_file", "laneway_admin_tokens"),
    )
    admin_allow_anonymous: bool = Field(
        False,
        description="serve the admin API without authentication on an address other than loopback",
    )
    admin_cors_origins: Names = Field(
        (), description="origins of web pages that may call the admin API, such as https://console.example"
    )

    oidc_issuer: str | None = Field(
        None, description="OpenID Connect issuer whose JWTs the admin API takes: their `iss`, exactly"
    )
    oidc_audience: str = Field("laneway", description="the `aud` that these JWTs have to name")
    oidc_jwks: str | None = Field(
        None, description="keys of the issuer (JWKS): a file, or a URL that begins with https://"
    )
    oidc_ca: Path | None = Field(
        None, description="CA of the server with the keys (PEM); unset: those of the system"
    )
    oidc_roles: Names = Field(
        (), description="roles by values of the claim: team-order=operator:order-flow,sre=admin"
    )
    oidc_roles_claim: str = Field(
        "roles", description="claim with these values; dots lead into objects, as in realm_access.roles"
    )
    oidc_name_claim: str = Field("sub", description="claim that names the caller in history and audit")
    audit: str | None = Field(
        None,
        description="where changes and refusals are written down: a file, or syslog, syslog:/path, "
        "syslog:host:port",
    )

    @field_validator("admin_cors_origins", "oidc_roles", mode="before")
    @classmethod
    def _admin_lists(cls, value: Any) -> Any:
        """Lists are comma separated in variables."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("admin_cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            parts = urlsplit(one)
            if parts.scheme not in ("http", "https") or not parts.netloc or one.count("/") != 2 or "*" in one:
                raise ValueError(f"{one!r} is not an origin: write https://console.example, without a path")
        return value

    @model_validator(mode="after")
    def _admin_exposed(self) -> AdminSettings:
        if (self.admin_certificate is None) != (self.admin_key is None):
            raise ValueError("admin_certificate and admin_key belong together: give both, or neither")
        if self.admin_client_ca is not None and self.admin_certificate is None:
            raise ValueError(
                "admin_client_ca needs admin_certificate and admin_key: only TLS asks for certificates"
            )
        if (self.oidc_issuer is None) != (self.oidc_jwks is None):
            raise ValueError("oidc_issuer and oidc_jwks belong together: give both, or neither")
        if self.oidc_issuer is not None and not self.oidc_roles:
            raise ValueError("oidc_issuer needs oidc_roles: without them no JWT has a role")
        mapping_of(self.oidc_roles)
        check_place(self.oidc_jwks or "")
        host = str(getattr(self, "admin", "")).rpartition(":")[0]
        check_exposure(
            host,
            authenticated=self.authenticated or self.admin_allow_anonymous,
            encrypted=self.admin_certificate is not None or self.admin_allow_plaintext,
        )
        return self

    @property
    def authenticated(self) -> bool:
        """Whether callers have to say who they are."""
        return self.token_file is not None or self.oidc_issuer is not None
