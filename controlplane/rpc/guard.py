"""Confines the failure of one call's handler to that call, whatever the transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import structlog

from controlplane.net.certificates import Certificate

from .transport import CallEnd, Handler

_log = structlog.get_logger("laneway.rpc")


class GuardedCall:
    """The part of a call that its transport does not change: its handler gets `closed` exactly once."""

    __slots__ = ("_ended", "_handler", "certificate", "peer")

    def __init__(self, peer: str, certificate: Certificate | None) -> None:
        self._handler: Handler | None = None
        self._ended = False
        self.peer = peer
        self.certificate = certificate

    @property
    def method(self) -> str:
        """The method's path."""
        raise NotImplementedError

    def finish(self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "") -> None:
        """End the call with a status, after the responses that have not left yet."""
        self._end(CallEnd(code, text))

    def attempt(self, what: Callable[..., None], *arguments: Any) -> None:
        """Act for the call, unless it has ended. An exception ends this call alone."""
        if self._ended:
            return
        try:
            what(*arguments)
        except CallEnd as end:
            self._end(end)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        _log.exception("a call failed", method=self.method, peer=self.peer)
        self.finish(grpc.StatusCode.INTERNAL, "the server failed; its log says why")

    def _end(self, end: CallEnd) -> None:
        """End the call with this status, unless it has ended."""
        raise NotImplementedError

    def _tell(self, end: CallEnd | None) -> None:
        """Tell the handler that the call is over, and forget the handler."""
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.closed(end)
            except Exception:
                # The other calls of a lost connection are still to be told.
                _log.exception("a call failed when it was over", method=self.method, peer=self.peer)
