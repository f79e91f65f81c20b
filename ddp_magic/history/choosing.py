"""Runs in the kernel: which of the remembered runs a %ddp_runs line chooses, in which order."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from ddp_magic.history.asking import FILTERS, LAST, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ddp_magic.history.asking import Asked
    from ddp_magic.history.records import Metric, RunRecord

__all__ = ["choose", "loss_like", "override"]

_COLUMNS: dict[str, Callable[[RunRecord], float | str]] = {
    "number": lambda run: run.number,
    "started": lambda run: run.started,
    "when": lambda run: run.started,
    "duration": lambda run: run.duration,
    "took": lambda run: run.duration,
    "workers": lambda run: len(run.devices),
    "name": lambda run: run.name,
    "state": lambda run: run.state,
}
_LOSSES = ("loss", "train_loss", "train/loss")
_LOWER = ("loss", "error", "perplexity", "nll", "mse", "mae", "rmse", "wer", "cer")


def choose(asked: Asked, runs: Iterable[RunRecord]) -> tuple[list[RunRecord], int]:
    """Return the runs to list, and how many the words choose.

    Args:
        asked: The line.
        runs: All, the newest first; read no further than is needed.

    Raises:
        OptionError: A word names nothing that a run has.
    """
    if not asked.given and not asked.words and not asked.sort:
        return _first(runs, asked.last or LAST), -1
    everything = list(runs)
    _check(asked, everything)
    found = [run for run in everything if _matches(asked, run)]
    count = len(found)
    if asked.last is not None:
        found = found[: asked.last]
    if asked.sort:
        found = _sorted(found, asked.sort, descending=asked.descending)
    return (found if asked.last is not None else found[:LAST]), count


def override(run: RunRecord, name: str) -> str | None:
    """Return the text of an override by what stands before its equals sign."""
    for shown in run.overrides:
        given, _, rest = shown.partition("=")
        if given == name:
            return rest.partition(" → ")[0]
    return None


def loss_like(runs: Sequence[RunRecord]) -> str:
    """Return the metric whose curve tells most: a loss, else what most runs report first."""
    names = Counter(metric.name for run in runs for metric in run.metrics)
    by_count = [name for name, _ in names.most_common()]
    for wanted in (_LOSSES, _LOWER):
        for part in wanted:
            for name in by_count:
                if name == part if wanted is _LOSSES else part in name.lower():
                    return name
    return by_count[0] if by_count else ""


def _first(runs: Iterable[RunRecord], count: int) -> list[RunRecord]:
    found: list[RunRecord] = []
    for run in runs:
        found.append(run)
        if len(found) == count:
            break
    return found


def _check(asked: Asked, runs: Sequence[RunRecord]) -> None:
    """Refuse a name that no run knows: a filter of nothing would list nothing, and not say why."""
    names = {shown.partition("=")[0] for run in runs for shown in run.overrides}
    for name in asked.given:
        if name not in FILTERS and name not in names:
            known = (*FILTERS, *sorted(names))
            unknown(name, known, "is neither a filter nor an override of any run", "state=failed")
    metrics = {metric.name for run in runs for metric in run.metrics}
    if asked.sort and asked.sort not in metrics and asked.sort not in _COLUMNS:
        known = (*sorted(metrics), *_COLUMNS)
        unknown(asked.sort, known, "is neither a metric of any run nor a column", "sort=duration")


def _matches(asked: Asked, run: RunRecord) -> bool:
    for name, wanted in asked.given.items():
        if name == "state":
            fits = run.state == wanted
        elif name in FILTERS:
            fits = wanted.casefold() in str(getattr(run, name)).casefold()
        else:
            fits = _same(override(run, name), wanted)
        if not fits:
            return False
    words = (run.name, run.note, run.notebook, run.cell, run.state, run.summary, *run.overrides)
    told = "\n".join(words).casefold()
    return all(word in told for word in asked.words)


def _same(text: str | None, wanted: str) -> bool:
    """Whether an override is the one: 1e-3 is 0.001."""
    if text is None:
        return False
    try:
        return float(text) == float(wanted)
    except ValueError:
        return text == wanted


def _sorted(runs: Sequence[RunRecord], key: str, *, descending: bool) -> list[RunRecord]:
    """Sort; runs that do not have it, or whose metric is no number, come last."""
    if any(run.metric(key) for run in runs) or key not in _COLUMNS:
        values = {run.number: _number(run.metric(key)) for run in runs}
        have = [run for run in runs if not math.isnan(values[run.number])]
        none = [run for run in runs if math.isnan(values[run.number])]
        return [*sorted(have, key=lambda r: values[r.number], reverse=descending), *none]
    column = _COLUMNS[key]
    return sorted(runs, key=column, reverse=descending)


def _number(metric: Metric | None) -> float:
    return math.nan if metric is None else metric.last
