"""Fuzzes one target until it is stopped: python -m tests.fuzz.run_one TARGET [OPTION ...]."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["controlplane.rpc", "hpack"]):
    from tests.fuzz.targets import TARGETS

import structlog

from controlplane.rpc import frames

_KINDS = tuple(range(11))


def frames_of(data: bytes) -> list[bytes]:
    """The pieces of an input that look like frames; the last may be cut."""
    found, at = list[bytes](), 0
    while at + frames.HEAD_SIZE <= len(data):
        high, low, *_ = frames.HEAD.unpack_from(data, at)
        end = at + frames.HEAD_SIZE + (high << 8 | low)
        found.append(data[at:end])
        at = end
    return [*found, data[at:]] if at < len(data) else found


def mutate(data: bytes, size: int, seed: int) -> bytes:
    """Change bytes as libFuzzer does, or whole frames, so that what follows stays readable."""
    chance = random.Random(seed)
    first, pieces = data[:1], frames_of(data[1:])
    if not pieces or chance.random() < 0.4:
        return atheris.Mutate(data, size)
    at = chance.randrange(len(pieces))
    piece = pieces[at]
    how = chance.randrange(6)
    if how == 0:
        pieces.insert(chance.randrange(len(pieces) + 1), piece)
    elif how == 1 and len(pieces) > 1:
        del pieces[at]
    elif how == 2:
        other = chance.randrange(len(pieces))
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif len(piece) >= frames.HEAD_SIZE:
        _, _, kind, flags, stream = frames.HEAD.unpack_from(piece)
        payload = piece[frames.HEAD_SIZE :]
        if how == 3:
            kind = chance.choice(_KINDS)
        elif how == 4:
            flags, stream = chance.choice((flags, chance.randrange(64))), chance.randrange(12)
        else:
            payload = atheris.Mutate(payload, len(payload) + 32)[:16_384]
        pieces[at] = frames.frame(kind, flags, stream, payload)
    return (first + b"".join(pieces))[:size]


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    name, *options = sys.argv[1:]
    target: Callable[[bytes], None] = TARGETS[name]
    more = {"custom_mutator": mutate} if name == "connection" else {}
    atheris.Setup([sys.argv[0], *options], target, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
