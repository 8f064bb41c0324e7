"""A way between proxies and control planes that tests lead to another one, or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.mesh.client import Address


class Switch:
    """Takes connections at `address` and passes them on to `target`; None: to nobody. `close` it."""

    def __init__(self, address: Address, target: Address | None) -> None:
        self.address = address
        self._target = target
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(address)
        threading.Thread(target=self._accept, daemon=True).start()

    def lead(self, target: Address | None) -> None:
        """Cut what is open; lead what comes to `target`."""
        with self._lock:
            self._target = target
            gone, self._open = self._open, []
        for one in gone:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.lead(None)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                came, _ = self._listener.accept()
                with self._lock:
                    target = self._target
                try:
                    if target is None:
                        raise OSError
                    there = socket.create_connection(target, 5)
                except OSError:
                    came.close()
                    continue
                with self._lock:
                    self._open += [came, there]
                for one, other in ((came, there), (there, came)):
                    threading.Thread(target=_copy, args=(one.recv, other), daemon=True).start()


def _copy(receive: Callable[[int], bytes], to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := receive(65536):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
