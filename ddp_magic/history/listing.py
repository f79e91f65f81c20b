"""Runs in the kernel: remembered runs as the rows of a table."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

from ddp_magic.events import RunState
from ddp_magic.history.blocks import Cell, Table
from ddp_magic.history.choosing import loss_like
from ddp_magic.views.picture import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.history.records import Metric, RunRecord

__all__ = ["cell_of", "devices_of", "listing", "number", "when"]

_METRICS = 4
"""Columns of metrics."""


def listing(runs: Sequence[RunRecord], now: float, sort: str = "") -> Table:
    """Return the table; columns in which no run has anything are left out.

    What tells runs from each other stands on the left: a page may be narrow.

    Args:
        runs: In the order in which they are listed.
        now: The time, seconds since the epoch.
        sort: The metric that they are sorted by, if they are.
    """
    curve = sort if any(run.metric(sort) for run in runs) else loss_like(runs)
    names = _columns(runs, curve)
    several = len({run.notebook for run in runs}) > 1
    heads = ("run", "when", "name", "state", "took", "overrides", *names)
    heads = (*heads, f"{curve} curve" if curve else "", "note", "workers", "cell")
    rows = [
        (
            Cell(text=str(run.number), style="strong"),
            Cell(text=when(run.started + run.duration, now), style="faint"),
            Cell(text=run.name),
            Cell(text=run.state, style=run.state),
            Cell(text=duration(run.duration)),
            Cell(text=_overrides(run), style="code"),
            *(Cell(text=_last(run.metric(name))) for name in names),
            _curve(run.metric(curve)),
            Cell(text=_note(run)),
            Cell(text=devices_of(run)),
            Cell(text=cell_of(run, notebook=several), style="faint"),
        )
        for run in runs
    ]
    used = [at for at in range(len(heads)) if any(row[at].text for row in rows)]
    numbers = {"run", "took", *names}
    return Table(
        caption="Runs",
        heads=tuple(heads[at] for at in used),
        rows=tuple(tuple(row[at] for at in used) for row in rows),
        right=frozenset(n for n, at in enumerate(used) if heads[at] in numbers),
    )


def when(then: float, now: float) -> str:
    """Say when something was: ``5 min ago``, ``3 d ago``, ``2026-03-04``."""
    ago = max(0.0, now - then)
    if ago < 60:
        return "just now"
    for limit, unit, name in ((3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if ago < limit:
            return f"{ago // unit:.0f} {name} ago"
    try:
        return time.strftime("%Y-%m-%d", time.localtime(then))
    except (ValueError, OverflowError, OSError):  # a record may say anything
        return "long ago"


def number(value: float) -> str:
    """Return a metric's value in four digits."""
    return f"{value:.4g}"


def cell_of(run: RunRecord, *, notebook: bool) -> str:
    """Return where the run was started: ``In[3]``, or ``train.ipynb In[3]``."""
    cell = run.cell.removeprefix("Cell ")
    return f"{PurePath(run.notebook).name} {cell}".strip() if notebook else cell


def devices_of(run: RunRecord) -> str:
    """Return the workers in a few characters: ``2 CPU``, ``4 NVIDIA H200``."""
    kinds = dict.fromkeys(device.partition(" ")[2] or device for device in run.devices)
    return f"{len(run.devices)} {', '.join(kinds)}".strip()


def _columns(runs: Sequence[RunRecord], first: str) -> list[str]:
    counts = Counter(metric.name for run in runs for metric in run.metrics)
    names = [first, *(name for name, _ in counts.most_common())] if first else []
    return list(dict.fromkeys(names))[:_METRICS]


def _note(run: RunRecord) -> str:
    """Return the note, and why the run has not come to its end."""
    why = "" if run.state == RunState.SUCCEEDED else run.summary
    return " · ".join(filter(None, [run.note, why]))


def _overrides(run: RunRecord) -> str:
    return ", ".join(shown.partition(" → ")[0] for shown in run.overrides)


def _last(metric: Metric | None) -> str:
    return "" if metric is None else number(metric.last)


def _curve(metric: Metric | None) -> Cell:
    if metric is None or not metric.y:
        return Cell()
    if math.isnan(metric.low):
        return Cell(text="no number", curve=metric.y)
    return Cell(text=f"from {number(metric.y[0])} to {number(metric.y[-1])}", curve=metric.y)
