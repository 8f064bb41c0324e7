"""The frames that begin and end a connection (RFC 9113, sections 3.4 and 6.8). No I/O."""

from __future__ import annotations

from collections.abc import Callable

from . import frames
from .stream import CONNECTION_WINDOW, MOST_STREAMS, STREAM_WINDOW

_GREETING = frames.settings(
    {
        frames.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
        frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        frames.MAX_HEADER_LIST_SIZE: 16 << 10,
    }
) + frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
_GOODBYE = b"goodbye."
_AGAIN = "please connect again"


class Ends:
    """The preface, which comes before any other frame, pings, and the frames that ask the client to leave.

    last_allowed: the last stream that the client may open.
    """

    __slots__ = ("_greeted", "_leaving", "last_allowed", "write")

    def __init__(self, write: Callable[[list[bytes]], None]) -> None:
        self.write = write
        self._greeted = False
        self._leaving = False
        self.last_allowed = frames.LARGEST_WINDOW

    @property
    def said(self) -> bool:
        """Whether the client knows that it is to leave."""
        return self.last_allowed < frames.LARGEST_WINDOW

    def hello(self) -> None:
        """Send the preface, if it has not been sent."""
        if not self._greeted:
            self._greeted = True
            self.write([_GREETING])

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.hello()
        self.write([frames.frame(frames.PING, 0, 0, b"liveness")])

    def go_away(self) -> None:
        """Ask the client to open its next streams elsewhere; streams that are open go on."""
        if self._leaving:
            return
        self._leaving = True
        self.hello()
        last = frames.goaway(frames.LARGEST_WINDOW, frames.NO_ERROR, _AGAIN)
        self.write([last, frames.frame(frames.PING, 0, 0, _GOODBYE)])

    def answered(self, payload: bytes, highest: int) -> None:
        """A ping has been answered; `highest` is the last stream that the client has opened."""
        if payload == _GOODBYE and self._leaving and not self.said:
            # The client has read the first GOAWAY: streams that it opens from here on are too late.
            self.last_allowed = highest
            self.write([frames.goaway(highest, frames.NO_ERROR, _AGAIN)])

    def farewell(self, highest: int, code: int, text: str) -> None:
        """The last words before the connection closes."""
        self.hello()
        # Never a later stream than the GOAWAY before it said.
        self.write([frames.goaway(min(highest, self.last_allowed), code, text)])
