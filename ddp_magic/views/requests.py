"""What a page may ask of a run, and who answers; kernel only.

Requests arrive on another thread: that of the kernel's control channel or, where a page has only
the panel's comm, that of a subshell or, after the cell, the cell's own. Those that the feed obeys
set flags that the next tick reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.events import RunState
from ddp_magic.views import escape, logfile
from ddp_magic.views.record import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.views import Controls
    from ddp_magic.views.feed import Feed
    from ddp_magic.views.picture import Picture

__all__ = ["Requests"]

_LONGER = 600
"""Seconds that one press of "Wait longer" may add; a page is not trusted with more."""


class Requests:
    """Answers the messages of a page.

    Args:
        picture: What is known of the run.
        feed: Decides what a page gets.
        controls: What the buttons do.
        send: Sends a message to the page, with buffers.
    """

    def __init__(
        self,
        picture: Picture,
        feed: Feed,
        controls: Controls,
        send: Callable[[dict[str, Any], list[bytes]], None],
    ) -> None:
        self._picture = picture
        self._feed = feed
        self._controls = controls
        self._send = send

    def take(self, message: object) -> None:
        """Obey a message; what is none of ours is passed over."""
        match message:
            case {"t": "ack", "n": int(number)}:
                self._feed.acknowledged = number
            case {"t": "hello"}:
                self._feed.asked = True
            case {"t": "watch", "r": int(rank)}:
                self._feed.watched = rank
            case {"t": "log", "r": int(rank)}:
                self._send_log(rank)
            case {"t": "stop", "kill": bool(kill)}:
                self._send({"stopping": True}, [])
                self._stop(kill=kill)
            case {"t": "extend", "s": int(seconds)} if 0 < seconds <= _LONGER:
                self._controls.extend(seconds)
            case {"t": "background"}:
                self._controls.background()
            case {"t": "stacks"} if not self._picture.state.final:
                self._send({"stacks": escape.plain(self._controls.stacks())}, [])
            case {"t": "record"} if self._picture.state.final:
                self._send({"record": record(self._picture)}, [])
            case _:
                pass

    def _stop(self, *, kill: bool) -> None:
        state = self._picture.state
        # a first press may arrive late, when the page has interrupted the kernel already or the
        # run is over: it must not count as the second
        if not state.final and (kill or state is not RunState.STOPPING):
            self._controls.stop()

    def _send_log(self, rank: int) -> None:
        started = self._picture.started
        if started is not None and 0 <= rank < started.world_size:
            for piece in logfile.pieces(started.log_dir, rank):
                self._send({"log": rank}, [piece])
            self._send({"log": rank, "last": True}, [])
