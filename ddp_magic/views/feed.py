"""Which messages a page gets of a run: only what is new, as fast as the page keeps up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ddp_magic.views import escape
from ddp_magic.views.pace import Pace
from ddp_magic.views.wire import curve_news, facts, progress, rank_news, sample

if TYPE_CHECKING:
    from ddp_magic.metrics import Curves, Series
    from ddp_magic.views.pace import Allowance
    from ddp_magic.views.picture import Picture

__all__ = ["Feed"]

OTHER_PERIOD = 0.5
"""Seconds between messages about a rank that nobody looks at."""
OTHER_LINES = 40
CURVES_PERIOD = 0.5
"""Seconds between messages about curves."""
PULSE_PERIOD = 0.4
"""The same about progress and devices."""
SNAPSHOT_LINES = 200
WHOLE_LINES = 2000
"""Of a rank that is looked at, for a page that is loaded in the middle: as many as pages keep."""
WHOLE_CHARACTERS = 160_000
ALL = -1
"""As a rank: all of them."""


class _Drawn(NamedTuple):
    """What the page has of a curve."""

    series: Series
    thinned: int = 0
    points: int = 0
    values: int = 0


class Feed:
    """Makes the messages; the flags may be set by any thread, the methods are called by one.

    Attributes:
        acknowledged: The number of the last message that the page said it has; 0 for none.
        asked: The page asked for everything.
        watched: The rank that the page looks at besides the shown ones; -1 for all.
        behind: Whether the page, which answered once, does not any more.
    """

    def __init__(self, picture: Picture, before: Curves | None = None) -> None:
        """Begin with nothing sent.

        Args:
            picture: What is known of the run.
            before: The curves of the run before.
        """
        self._ghosts = _whole(before) if before is not None else []
        self.acknowledged = 0
        self.asked = False
        self.watched: int | None = None
        self.behind = False
        self._picture = picture
        self._pace: Pace | None = None
        self._number = 0
        self._facts_sent = -1
        self._ends: dict[int, int] = {}
        self._lives: dict[int, list[Any]] = {}
        self._times: dict[int, float] = {}
        self._curves_sent = 0
        self._curves_at = 0.0
        self._drawn: dict[str, _Drawn] = {}
        self._pulse_at = 0.0
        self._pulse_sent = (0, 0)

    def message(self, now: float) -> dict[str, Any] | None:
        """Return the next message; None where there is nothing to say or it is not time yet."""
        pace = self._pace = self._pace or Pace(now)
        if self.acknowledged:
            pace.acknowledged(self.acknowledged)
        self.behind = pace.behind(now)
        if self.asked:
            self.asked = False
            message = {**self.snapshot(now, whole=True), "answer": True}
        else:
            allowance = pace.allowance(now)
            message = self._news(allowance, now) if allowance else None
        if message is not None:
            self._number += 1
            message["n"] = self._number
            pace.sent(self._number, now)
        return message

    def snapshot(self, now: float, *, whole: bool = False) -> dict[str, Any]:
        """Return a message with everything, numbered by none: any page can begin with it.

        Args:
            now: The time.
            whole: Whether the page may have none of the output yet.
        """
        ranks = [
            rank_news(rank, terminal, 0, WHOLE_LINES, WHOLE_CHARACTERS)
            if whole and self._looked_at(rank)
            else rank_news(rank, terminal, 0, SNAPSHOT_LINES)
            for rank, terminal in self._picture.ranks.items()
        ]
        return {
            "facts": facts(self._picture, now),
            "ranks": ranks,
            "curves": _whole(self._picture.curves),
            "ghosts": self._ghosts,
            "pulse": {
                "progress": progress(self._picture),
                "samples": [sample(devices) for devices in self._picture.recent.samples],
            },
        }

    def _news(self, allowance: Allowance, now: float) -> dict[str, Any] | None:
        if not allowance.lines:
            return {"ranks": [], "facts": facts(self._picture, now)}
        message: dict[str, Any] = {"ranks": self._ranks(allowance.lines, now)}
        if self._facts_sent != self._picture.version or allowance.heartbeat:
            self._facts_sent = self._picture.version
            message["facts"] = facts(self._picture, now)
        if curves := self._new_curves(now):
            message["curves"] = curves
            if gone := [name for name in self._drawn if name not in self._picture.curves.series]:
                message["gone"] = [escape.line(name, 60) for name in gone]
                self._drawn = {n: d for n, d in self._drawn.items() if n not in gone}
        if pulse := self._new_pulse(now):
            message["pulse"] = pulse
        return message if message["ranks"] or len(message) > 1 else None

    def _new_pulse(self, now: float) -> dict[str, Any]:
        picture = self._picture
        versions = picture.progress_version, picture.devices_version
        if versions == self._pulse_sent or now - self._pulse_at < PULSE_PERIOD:
            return {}
        before, self._pulse_sent, self._pulse_at = self._pulse_sent, versions, now
        pulse: dict[str, Any] = {}
        if versions[0] != before[0]:
            pulse["progress"] = progress(picture)
        if versions[1] != before[1] and picture.devices is not None:
            pulse["samples"] = [sample(picture.devices)]
        return pulse

    def _new_curves(self, now: float) -> list[dict[str, Any]]:
        picture = self._picture
        unchanged = picture.curves_version == self._curves_sent
        if unchanged or (now - self._curves_at < CURVES_PERIOD and not picture.state.final):
            return []
        self._curves_sent, self._curves_at = picture.curves_version, now
        news: list[dict[str, Any]] = []
        for name, series in picture.curves.series.items():
            drawn = self._drawn.get(name)
            if drawn is None or drawn.series is not series:  # replaced: it begins anew
                drawn = _Drawn(series)
            if drawn.values != series.count:
                news.append(curve_news(name, series, (drawn.thinned, drawn.points)))
            self._drawn[name] = _Drawn(series, series.thinned, len(series.x), series.count)
        return news

    def _looked_at(self, rank: int) -> bool:
        shown = self._picture.started.shown if self._picture.started else ()
        return rank in shown or self.watched in (rank, ALL)

    def _ranks(self, limit: int, now: float) -> list[dict[str, Any]]:
        ranks: list[dict[str, Any]] = []
        for rank, terminal in self._picture.ranks.items():
            looked_at = self._looked_at(rank)
            if not looked_at and now - self._times.get(rank, 0.0) < OTHER_PERIOD:
                continue
            most = limit if looked_at else min(limit, OTHER_LINES)
            news = rank_news(rank, terminal, self._ends.get(rank, 0), most)
            if not news["lines"] and news["live"] == self._lives.get(rank, []):
                continue
            self._ends[rank], self._lives[rank] = news["end"], news["live"]
            self._times[rank] = now
            ranks.append(news)
        return ranks


def _whole(curves: Curves) -> list[dict[str, Any]]:
    return [curve_news(name, series, (0, 0)) for name, series in curves.series.items()]
