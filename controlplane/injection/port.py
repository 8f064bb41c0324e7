"""The webhook as an ASGI application: POST /inject, and probes and metrics beside it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from controlplane.injection.pods import Sidecars
from controlplane.injection.reviews import ReviewError, answer

LARGEST_REVIEW = 4 << 20
"""Bytes. etcd takes objects up to 1.5 MiB, and an object may be written longer in a review."""

_log = structlog.get_logger("laneway.injection")


class Webhook:
    """Answers reviews. `reviews` counts them by verdict since the start."""

    def __init__(self, sidecars: Callable[[], Sidecars], expires: Callable[[], float]) -> None:
        """`sidecars`: what sidecars are like at this moment. `expires`: when the certificate ends, in epoch
        seconds.
        """
        self._sidecars, self._expires = sidecars, expires
        self.reviews: Counter[str] = Counter({"injected": 0, "left": 0, "refused": 0, "unreadable": 0})
        self.app = Starlette(
            routes=[
                Route("/inject", self._inject, methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ]
        )

    async def _inject(self, request: Request) -> Response:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_REVIEW:
                    return self._unreadable(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it has more than {LARGEST_REVIEW} bytes"
                    )
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        try:
            made = answer(json.loads(body), self._sidecars())
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, ReviewError) else f"it cannot be read: {error!r}"
            return self._unreadable(HTTPStatus.BAD_REQUEST, reason)
        self.reviews[made.verdict] += 1
        level = _log.info if made.verdict == "injected" else _log.warning
        level("a pod was created", pod=made.pod, sidecar=made.verdict, reason=made.reason)
        return JSONResponse(made.review)

    def _unreadable(self, status: HTTPStatus, reason: str) -> Response:
        self.reviews["unreadable"] += 1
        _log.warning("a review was not answered", reason=reason)
        return PlainTextResponse(f"This is no review that Laneway understands: {reason}\n", status)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        # Not while it cannot be renewed: what cannot reach the API server now would take all replicas away.
        if time.time() > self._expires():
            return PlainTextResponse(
                "the certificate of the webhook has ended\n", HTTPStatus.SERVICE_UNAVAILABLE
            )
        return PlainTextResponse("ready\n")

    async def _metrics(self, _: Request) -> Response:
        name = "laneway_injection_reviews_total"
        lines = [f"# HELP {name} Pods that the API server asked about.", f"# TYPE {name} counter"]
        lines += [f'{name}{{result="{verdict}"}} {count}' for verdict, count in sorted(self.reviews.items())]
        name = "laneway_injection_certificate_expires_seconds"
        lines += [f"# HELP {name} When the certificate of the webhook ends.", f"# TYPE {name} gauge"]
        lines.append(f"{name} {self._expires():.0f}")
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
