"""Runs in the kernel: what is different between runs, and their curves over each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.history.blocks import Cell, Chart, Diff, Table, Words
from ddp_magic.history.changes import changes
from ddp_magic.history.choosing import override
from ddp_magic.history.listing import cell_of, devices_of, number
from ddp_magic.history.one import charted, started
from ddp_magic.views.chart import Curve
from ddp_magic.views.picture import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ddp_magic.history.blocks import Block
    from ddp_magic.history.records import Metric, RunRecord

__all__ = ["side_by_side"]

_ALWAYS: dict[str, Callable[[RunRecord], str]] = {
    "name": lambda run: run.name,
    "note": lambda run: run.note,
    "state": lambda run: run.state,
    "took": lambda run: duration(run.duration),
    "started": started,
}
_IF_DIFFERENT: dict[str, Callable[[RunRecord], str]] = {
    "cell": lambda run: cell_of(run, notebook=True),
    "workers": devices_of,
    "devices": lambda run: ", ".join(run.devices),
}


def side_by_side(runs: Sequence[RunRecord]) -> Iterator[Block]:
    """Yield what is shown of several runs; each is compared with the first."""
    names = [str(run.number) for run in runs]
    yield Words(text=f"Runs {', '.join(names[:-1])} and {names[-1]}", style="title")
    heads = ("", *names)
    yield Table(caption="", heads=heads, rows=tuple(_facts(runs)))
    given = _rows(runs, _overrides(runs))
    if given:
        yield Table(caption="Overrides", heads=heads, rows=tuple(given))
    yield Words(text=_same(runs), style="faint")
    for name in charted(runs):
        yield Chart(title=name, curves=tuple(_curves(runs, name)))
    metrics = tuple(_metrics(runs))
    if metrics:
        right = frozenset(range(1, len(heads)))
        yield Table(caption="Metrics, at the end", heads=heads, rows=metrics, right=right)
    for run in runs[1:]:
        yield from _code(runs[0], run)


def _facts(runs: Sequence[RunRecord]) -> Iterator[tuple[Cell, ...]]:
    for name, told in _ALWAYS.items():
        texts = [told(run) for run in runs]
        if any(texts):
            styles = texts if name == "state" else [""] * len(runs)
            cells = (Cell(text=t, style=s) for t, s in zip(texts, styles, strict=True))
            yield (Cell(text=name, style="faint"), *cells)
    yield from _rows(runs, _IF_DIFFERENT | _versions(runs))


def _rows(
    runs: Sequence[RunRecord], facts: dict[str, Callable[[RunRecord], str]]
) -> list[tuple[Cell, ...]]:
    """Return a row for each fact in which the runs differ."""
    found: list[tuple[Cell, ...]] = []
    for name, told in facts.items():
        texts = [told(run) for run in runs]
        if len(set(texts)) > 1:
            cells = (Cell(text=text or "-", style="code") for text in texts)
            found.append((Cell(text=name, style="faint"), *cells))
    return found


def _versions(runs: Sequence[RunRecord]) -> dict[str, Callable[[RunRecord], str]]:
    names = dict.fromkeys(name for run in runs for name in run.versions)
    return {name: lambda run, name=name: run.versions.get(name, "") for name in names}


def _overrides(runs: Sequence[RunRecord]) -> dict[str, Callable[[RunRecord], str]]:
    names = dict.fromkeys(s.partition("=")[0] for run in runs for s in run.overrides)
    return {name: lambda run, name=name: override(run, name) or "" for name in names}


def _same(runs: Sequence[RunRecord]) -> str:
    """Say in what all are the same."""
    facts = {"workers": devices_of} | _versions(runs)
    same = [
        told(runs[0]) if name == "workers" else f"{name} {told(runs[0])}"
        for name, told in facts.items()
        if len({told(run) for run in runs}) == 1
    ]
    for name, told in _overrides(runs).items():
        if len({told(run) for run in runs}) == 1:
            same.append(f"{name}={told(runs[0])}")
    return f"The same in all: {', '.join(same)}" if same else "Nothing else is the same."


def _curves(runs: Sequence[RunRecord], name: str) -> Iterator[Curve]:
    for at, run in enumerate(runs):
        metric = run.metric(name)
        if metric is not None:
            label = f"{run.number} {run.name}".strip()
            yield Curve(name=label, x=metric.x, y=metric.y, colour=at)


def _metrics(runs: Sequence[RunRecord]) -> Iterator[tuple[Cell, ...]]:
    for name in dict.fromkeys(metric.name for run in runs for metric in run.metrics):
        found = [run.metric(name) for run in runs]
        yield (Cell(text=name, style="faint"), *map(_value, found))


def _value(metric: Metric | None) -> Cell:
    return Cell(text="-") if metric is None else Cell(text=number(metric.last))


def _code(old: RunRecord, new: RunRecord) -> Iterator[Block]:
    """Yield what has changed in the code from one run to another."""
    found = changes(old, new)
    if not found:
        yield Words(text=f"The code of {old.number} and {new.number} is the same.")
        return
    parts = ", ".join(f"{change.name} {change.kind}" for change in found)
    yield Words(text=f"Code, from {old.number} to {new.number}: {parts}")
    for change in found:
        yield Diff(title=f"{change.name} {change.kind}", lines=change.lines)
