"""Keeps the certificate of the webhook: in a Secret that its replicas share, in files for the port, and in
the configuration of the webhook, where the API server reads whom to trust.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog

from controlplane.injection import pairs
from controlplane.injection.pairs import Pair
from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import KubernetesError

LOOK = 60.0
"""Seconds between two looks at the Secret and at the configuration of the webhook."""
SETTLE = 3.0
"""Seconds that the API server has to learn of a new CA before a certificate of it is used."""
ATTEMPTS = 5
"""How often a change is tried again because another replica has changed the Secret."""

_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_STRATEGIC = "application/strategic-merge-patch+json"
_log = structlog.get_logger("laneway.injection")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the certificate is kept. `hosts` are the names by which the API server calls the webhook."""

    namespace: str
    secret: str
    configuration: str
    hosts: tuple[str, ...]
    directory: Path

    @property
    def certificate(self) -> Path:
        return self.directory / "tls.crt"

    @property
    def key(self) -> Path:
        return self.directory / "tls.key"


class Certificates:
    """client: made for each look, by the CA and the credentials of then; raises KubernetesError. `problem`
    says what failed last, "" while all is well.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        places: Places,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        look: float = LOOK,
        settle: float = SETTLE,
    ) -> None:
        self._make, self._places, self._now = client, places, now
        self._look, self._settle = look, settle
        self._written: Pair | None = None
        self.problem = "the certificate of the webhook is not there yet"

    async def follow(self) -> None:
        """Renew and repair, again and again."""
        while True:
            await asyncio.sleep(self._look)
            await self.attempt()

    async def attempt(self) -> bool:
        """`refresh`; what fails is logged and kept in `problem`. Returns whether all is well."""
        try:
            await self.refresh()
        except (KubernetesError, OSError) as error:
            if str(error) != self.problem:
                _log.error("the certificate of the webhook cannot be kept", reason=str(error))
            self.problem = str(error)
            return False
        self.problem = ""
        return True

    async def refresh(self) -> None:
        """Make or renew the certificate, tell the API server, then use it. Raises KubernetesError."""
        client = await asyncio.to_thread(self._make)
        try:
            pair = await self._shared(client)
            told = await self._trusted(client, pair.bundle)
        finally:
            await client.close()
        if told and self._written is not None:
            await asyncio.sleep(self._settle)
        if pair != self._written:
            await asyncio.to_thread(self._write, pair)
            self._written = pair

    async def _shared(self, client: Client) -> Pair:
        """What the Secret holds, renewed where that is due. Two replicas that renew at once agree."""
        path = f"/api/v1/namespaces/{self._places.namespace}/secrets/{self._places.secret}"
        for _ in range(ATTEMPTS):
            secret = await client.get(path)
            found = pairs.read(secret.get("data"))
            wanted = pairs.current(found, self._places.hosts, self._now())
            if wanted is found:
                return wanted
            try:
                # With its resourceVersion: a replica that was faster has won.
                await client.change("PUT", path, {**secret, "data": wanted.data()})
            except KubernetesError as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                continue
            _log.info("the certificate of the webhook was renewed", secret=self._places.secret)
            return wanted
        raise KubernetesError(f"the Secret {self._places.secret} changes all the time", client.server)

    async def _trusted(self, client: Client, bundle: bytes) -> bool:
        """Tell the API server whom to trust. Returns whether it did not know."""
        path = f"{_CONFIGURATIONS}/{self._places.configuration}"
        found = await client.get(path)
        said = base64.b64encode(bundle).decode()
        webhooks: list[dict[str, Any]] = found.get("webhooks") or []
        wrong = [one["name"] for one in webhooks if (one.get("clientConfig") or {}).get("caBundle") != said]
        if not wrong:
            return False
        changes = [{"name": name, "clientConfig": {"caBundle": said}} for name in wrong]
        await client.change("PATCH", path, {"webhooks": changes}, _STRATEGIC)
        _log.info("the API server was told whom to trust", configuration=self._places.configuration)
        return True

    def _write(self, pair: Pair) -> None:
        """The key first: whoever reads the pair after the second rename finds both."""
        self._places.directory.mkdir(parents=True, exist_ok=True)
        parts: Sequence[tuple[Path, bytes]] = (
            (self._places.key, pair.serving.key),
            (self._places.certificate, pair.serving.certificate),
        )
        for path, content in parts:
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            new.touch(mode=0o600)
            new.write_bytes(content)
            new.replace(path)
