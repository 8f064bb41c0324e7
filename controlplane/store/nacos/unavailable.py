"""From the errors of a request to Nacos to those of a store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from controlplane.nacos.errors import WITHOUT_EFFECT, NacosError
from controlplane.store.interface import StoreUnavailable


class NotSent(StoreUnavailable):
    """No server carried the request out, and none will: it had no effect."""


@contextlib.contextmanager
def as_unavailable() -> Iterator[None]:
    """Turn a NacosError of the block into a StoreUnavailable with the same text."""
    try:
        yield
    except NacosError as error:
        kind = NotSent if isinstance(error, WITHOUT_EFFECT) else StoreUnavailable
        raise kind(str(error)) from error
