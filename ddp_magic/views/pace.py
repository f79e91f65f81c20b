"""How often and how much may be sent to a page that may be slow, hidden, closed or never there."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Allowance", "Pace"]

PERIOD = 0.09
"""Ten a second where ticks come every 0.05 s, give or take."""
LINES = 200
BEHIND = 3.0
"""Seconds without an acknowledgement after which the page is behind."""
PROBE_PERIOD = 5.0
"""Seconds until such a page is asked for a sign of life; doubled with each, up to `HEARTBEAT`."""
SILENT = 60.0
"""Seconds after which a page that never acknowledged gets little: the server keeps for a closed
page whatever we send, without a bound."""
SILENT_PERIOD = 0.5
SILENT_LINES = 20
HEARTBEAT = 30.0
"""The server's culler takes a kernel for idle that publishes nothing."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What one message may carry.

    Attributes:
        lines: Of one rank, at most; 0 where only a sign of life is wanted.
        heartbeat: Whether to send also without news.
    """

    lines: int
    heartbeat: bool


class Pace:
    """Decides when the next message may go; knows times and numbers only.

    Args:
        now: The time in seconds, as everywhere here.
    """

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._heard = False
        self._sent_at = now - HEARTBEAT
        self._probe = PROBE_PERIOD
        self._waiting: deque[tuple[int, float]] = deque()

    def behind(self, now: float) -> bool:
        """Whether the page answered once and does not any more: it is closed, asleep or slow."""
        waiting = self._waiting
        return self._heard and bool(waiting) and now - waiting[0][1] > BEHIND

    def allowance(self, now: float) -> Allowance | None:
        """Return what may be sent now; None where it is not time yet."""
        period, lines = PERIOD, LINES
        if self.behind(now):
            period, lines = self._probe, 0
        elif not self._heard and now - self._heard_at > SILENT:
            period, lines = SILENT_PERIOD, SILENT_LINES
        since = now - self._sent_at
        return Allowance(lines=lines, heartbeat=since >= HEARTBEAT) if since >= period else None

    def sent(self, number: int, now: float) -> None:
        """Note that a message went."""
        self._sent_at = now
        if self.behind(now):
            self._probe = min(2 * self._probe, HEARTBEAT)
        self._waiting.append((number, now))
        if len(self._waiting) > 1000:  # nobody answers: the oldest tells how long
            del self._waiting[1]

    def acknowledged(self, number: int) -> None:
        """Note that the page has drawn this message and all before it."""
        self._heard = True
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
            self._probe = PROBE_PERIOD
