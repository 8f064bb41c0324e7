"""Builds what finds out who calls the admin port, and keeps it current while files change."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from controlplane.app.audit_sinks import File, sink_of
from controlplane.app.settings import Settings
from controlplane.auth.jwks import Keys
from controlplane.auth.oidc import Claims, Either, Issuer, mapping_of
from controlplane.auth.tokens import Authentication, Tokens
from controlplane.net.tls import Tls, TlsFiles

log = structlog.get_logger("laneway")

LOOK = 1.0
"""Seconds between two looks at the file of tokens."""


class Callers:
    """The certificate of the admin port, the tokens, and where the audit goes."""

    def __init__(self, settings: Settings) -> None:
        """Raises OSError, ValueError (TlsError is one)."""
        self.tokens = Tokens(settings.token_file) if settings.token_file is not None else None
        self.tls: Tls | None = None
        if settings.admin_certificate is not None and settings.admin_key is not None:
            self.tls = Tls(
                TlsFiles(
                    certificate=settings.admin_certificate,
                    key=settings.admin_key,
                    client_ca=settings.admin_client_ca,
                    protocols=("http/1.1",),
                    insist=False,
                )
            )
        self.keys: Keys | None = None
        self.counters: Counter[str] = Counter()
        self.authentication: Authentication | None = self.tokens
        if settings.oidc_issuer is not None and settings.oidc_jwks is not None:
            claims = Claims(
                settings.oidc_issuer,
                settings.oidc_audience,
                mapping_of(settings.oidc_roles),
                settings.oidc_roles_claim,
                settings.oidc_name_claim,
            )
            issuer = Issuer(claims)
            self.keys = Keys(issuer, settings.oidc_jwks, settings.oidc_ca, self.counters)
            self.authentication = Either(self.tokens, issuer) if self.tokens is not None else issuer
        self.audit = sink_of(settings.audit)
        self._warn()

    async def follow(self) -> None:
        """Read files again when they change, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.tls is not None:
                group.create_task(self.tls.follow())
            if self.tokens is not None:
                group.create_task(self._follow_tokens(self.tokens))
            if self.keys is not None:
                group.create_task(self.keys.follow())

    async def _follow_tokens(self, tokens: Tokens) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if tokens.changed:
                self._reload_tokens(tokens)

    def reload(self) -> None:
        """Read all files again, changed or not; begin a new file of the audit if the former was renamed."""
        if isinstance(self.audit, File):
            self.audit.reopen()
        if self.tls is not None:
            self.tls.refresh(force=True)
        if self.tokens is None:
            log.info("SIGHUP: no token file is configured, so no tokens were reloaded")
        else:
            self._reload_tokens(self.tokens)

    def _reload_tokens(self, tokens: Tokens) -> None:
        try:
            names = tokens.reload()
        except (OSError, ValueError) as error:
            log.error("the token file cannot be used; the former tokens stay valid", reason=str(error))
        else:
            log.info("the token file was reloaded", names=names)
            self._warn()

    def _warn(self) -> None:
        if self.tokens is not None and (plain := self.tokens.plain):
            log.warning(
                "the token file holds tokens as they are, each an admin's without an end: replace them by "
                "those of `laneway token create`",
                names=plain,
            )
