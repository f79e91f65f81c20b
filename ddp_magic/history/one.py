"""Runs in the kernel: all that is remembered of one run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ddp_magic.events import RunState
from ddp_magic.history.blocks import Cell, Chart, Code, Table, Words
from ddp_magic.history.choosing import loss_like
from ddp_magic.history.listing import cell_of, number
from ddp_magic.views.chart import Curve
from ddp_magic.views.picture import duration, workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ddp_magic.history.blocks import Block
    from ddp_magic.history.records import RunRecord

__all__ = ["CHARTS", "charted", "one", "started"]

CHARTS = 4
"""Metrics that are drawn."""


def one(run: RunRecord) -> Iterator[Block]:
    """Yield what is shown of a run."""
    title = f"Run {run.number}" + (f" {run.name}" if run.name else "")
    yield Words(text=f"{title} {run.state} in {duration(run.duration)}", style="title")
    yield Words(text=f"{started(run)} · {cell_of(run, notebook=True)} · {workers(run.devices)}")
    if run.note:
        yield Words(text=run.note)
    if run.summary and run.state != RunState.SUCCEEDED:
        yield Words(text=run.summary)
    for shown in run.overrides:
        yield Words(text=shown, style="code")
    for name in charted([run]):
        metric = run.metric(name)
        assert metric is not None
        yield Chart(title=name, curves=(Curve(name=name, x=metric.x, y=metric.y),))
    if run.metrics:
        yield _metrics(run)
    if run.peaks:
        peaks = ", ".join(f"{what} {most}" for what, most in run.peaks.items())
        yield Words(text=f"at most: {peaks}", style="faint")
    yield Words(text=", ".join(f"{k} {v}" for k, v in run.versions.items()), style="faint")
    yield Code(title="The cell", text=run.body, opened=True)
    yield Code(title="The module, without its values", text=run.module)


def started(run: RunRecord) -> str:
    """Say when a run was started, to the minute."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    except (ValueError, OverflowError, OSError):  # a record may say anything
        return "at an unknown time"


def charted(runs: Sequence[RunRecord]) -> list[str]:
    """Return the metrics to draw: the loss first, then those that most runs have."""
    drawn = [m.name for run in runs for m in run.metrics if len(m.y) > 1]
    by_count = sorted(dict.fromkeys(drawn), key=lambda name: -drawn.count(name))
    first = loss_like(runs)
    return sorted(by_count, key=lambda name: name != first)[:CHARTS]


def _metrics(run: RunRecord) -> Table:
    rows = [
        (
            Cell(text=metric.name),
            Cell(text=number(metric.last), style="strong"),
            Cell(text=number(metric.low)),
            Cell(text=number(metric.high)),
            Cell(text=f"{metric.count:,}", style="faint"),
        )
        for metric in run.metrics
    ]
    return Table(
        caption="Metrics",
        heads=("metric", "last", "lowest", "highest", "values"),
        rows=tuple(rows),
        right=frozenset({1, 2, 3, 4}),
    )
