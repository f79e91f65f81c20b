"""What goes to the panel's page side: JSON values that `panel.js` draws as text.

A line is a string, or a list of pieces: strings and ``[text, fg, bg, effects]``. Pieces instead of
offsets, because Python counts characters and JavaScript counts UTF-16 units.
"""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from ddp_magic.sgr import PLAIN
from ddp_magic.views import escape
from ddp_magic.views.picture import workers

if TYPE_CHECKING:
    from ddp_magic.events import Devices
    from ddp_magic.metrics import Series
    from ddp_magic.screen import Line
    from ddp_magic.terminal import RankTerminal
    from ddp_magic.views.picture import Picture

__all__ = ["curve_news", "facts", "progress", "rank_news", "sample"]

LINE = 1000
"""Characters of a line that are sent."""
RANK_CHARACTERS = 32_000
"""Of one rank in one message; about 250 bytes for each of its 200 lines would be 50 000."""
ITEMS = 50


def facts(picture: Picture, now: float) -> dict[str, Any]:
    """Return everything about the run but its output."""
    started, ended = picture.started, picture.ended
    said: dict[str, Any] = {
        "state": picture.state.value,
        "reason": escape.line(picture.reason),
        "final": picture.state.final,
        "elapsed": round(picture.elapsed(now), 2),
        "notices": [[escape.line(n.text), n.warning] for n in picture.notices],
        "summary": escape.line(ended.summary) if ended else "",
        "attempt": picture.attempt,
        "stalled": escape.line(picture.stalled),
        "failed": picture.failed,
        "grace": None if picture.until is None else round(max(0.0, picture.until - now), 1),
        "can": ["stacks", "extend", *([] if picture.detached else ["background"])],
        "detached": picture.detached,
    }
    if started:
        said |= {
            "run": escape.line(started.run_id, 40),
            "name": escape.line(started.name, 60),
            "label": escape.line(started.label, 60),
            "workers": workers(started.devices),
            "devices": [escape.line(device, 60) for device in started.devices],
            "overrides": [escape.line(override) for override in started.overrides[:ITEMS]],
            "note": escape.line(started.note),
            "logs": escape.line(started.log_dir),
            "shown": list(started.shown),
        }
    return said


def progress(picture: Picture) -> tuple[str, float, float | None] | None:
    """Return a bar's label, the part that is done, and the seconds that it expects to take.

    One that is full tells nothing of what is left: the run goes on with something else.
    """
    bar = picture.progress
    if bar is None or not bar.total > 0:
        return None
    part = min(1.0, max(0.0, bar.done / bar.total))
    return escape.line(bar.label, 60), part, bar.left if part < 1 else None


def sample(devices: Devices) -> dict[str, Any]:
    """Return what the run took of GPUs and machine at a moment."""
    return {
        "t": round(devices.time, 1),
        "gpus": [
            {
                "label": escape.line(gpu.label, 60),
                "used": gpu.used,
                "total": gpu.total,
                "busy": gpu.busy,
                "kernel": gpu.kernel,
            }
            for gpu in devices.gpus[:ITEMS]
        ],
        "workers": [
            {"rank": worker.rank, "cpu": round(worker.cpu, 2), "memory": worker.memory}
            for worker in devices.workers[:ITEMS]
        ],
    }


def rank_news(
    rank: int, terminal: RankTerminal, since: int, limit: int, characters: int = RANK_CHARACTERS
) -> dict[str, Any]:
    """Return what is new of a rank: its newest lines from `since` on, and its live lines."""
    delta = terminal.delta(since, limit)
    live = _newest(delta.live, RANK_CHARACTERS // 4)
    lines = _newest(delta.lines, characters)
    times = _times(delta.lines[len(delta.lines) - len(lines) :])
    return {"r": rank, "end": terminal.total, "lines": lines, "times": times, "live": live}


def _times(lines: list[Line]) -> list[tuple[int, float]]:
    """Return how many lines have each time; a page sorts by them, so none goes back."""
    rising = accumulate((line.time for line in lines), max)
    return [(len([*same]), round(time, 3)) for time, same in groupby(rising)]


def curve_news(name: str, series: Series, since: tuple[int, int]) -> dict[str, Any]:
    """Return what is new of a curve.

    Args:
        name: Its name.
        series: The curve.
        since: How often it had been thinned, and its points, when the page last heard of it.
    """
    thinned, known = since
    start = known if series.thinned == thinned else 0
    return {
        "name": escape.line(name, 60),
        "from": start,
        "x": [_short(x) for x in series.x[start:]],
        "y": [_short(y) for y in series.y[start:]],
        "last": series.shown,
        "strange": series.strange,
    }


def _short(number: float) -> float:
    """Return a number with as many digits as a drawing shows."""
    return float(f"{number:.6g}")


def _newest(lines: list[Line], characters: int) -> list[Any]:
    sent: list[Any] = []
    for line in reversed(lines):
        pieces, weight = _pieces(line)
        characters -= weight
        if characters < 0 and sent:
            break
        sent.append(pieces)
    return sent[::-1]


def _pieces(line: Line) -> tuple[Any, int]:
    """Return a line for the wire, and about how many characters it takes there."""
    if not line.runs or len(line.runs) > LINE // 10:
        text = escape.neutral(escape.clip(line.text, LINE))
        return text, len(text) + 8
    pieces: list[Any] = []
    left = LINE
    for text, style in line.pieces():
        shown = escape.neutral(text[:left])
        left -= len(text)
        pieces.append(shown if style == PLAIN else [shown, *style])
        if left < 0:
            pieces.append("…")
            break
    return pieces, min(len(line.text), LINE) + 20 * len(pieces)
