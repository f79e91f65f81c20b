"""Runs in the kernel: a run that has ended -> its record."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from ddp_magic.history.records import Metric, RunRecord
from ddp_magic.history.store import Store, place
from ddp_magic.masking import is_key, mask_line, mask_text
from ddp_magic.versions import versions
from ddp_magic.views import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ddp_magic.events import RunEnded
    from ddp_magic.metrics import Series
    from ddp_magic.prepare import Prepared
    from ddp_magic.views.picture import Picture

__all__ = ["notebook", "remember", "writing"]

POINTS = 100
"""Of a curve; the run itself has a few hundred."""
_TEXT = 200_000
"""Characters of a module's text."""


def writing(
    plan: Prepared, picture: Picture, ended: RunEnded, space: dict[str, Any]
) -> Callable[[], object]:
    """Return what writes the record of a run that has ended, in whatever thread.

    Args:
        plan: What was prepared; its files are still there, and are read now.
        picture: What the run's events told.
        ended: The last of them.
        space: The notebook's namespace.
    """
    module, body = _content(plan.run.main), _content(plan.run.body)

    def write() -> int:
        record = remember(plan, picture, ended, module=module, body=body, space=space)
        return Store(place()).add(record)

    return write


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def remember(
    plan: Prepared,
    picture: Picture,
    ended: RunEnded,
    *,
    module: str,
    body: str,
    space: Mapping[str, Any],
) -> RunRecord:
    """Return the record.

    Args:
        plan: What was prepared.
        picture: What its events told.
        ended: The last one.
        module: The generated module's text, which has no key in it.
        body: The cell's, likewise.
        space: The notebook's namespace.
    """
    return RunRecord(
        name=_line(plan.options.name),
        note=_line(plan.options.note),
        notebook=_line(notebook(os.environ, space)),
        cell=plan.cell.label,
        started=ended.time - ended.duration,
        duration=round(ended.duration, 3),
        state=str(ended.state),
        summary=_line(ended.summary),
        devices=plan.placement.labels,
        overrides=tuple(_line(bound.shown) for bound in plan.bound),
        metrics=tuple(map(_metric, picture.curves.series.items())),
        peaks=numbers.peaks(picture),
        versions=dict(versions()),
        module=_text(module),
        body=_text(body),
    )


def notebook(environ: Mapping[str, str], space: Mapping[str, Any]) -> str:
    """Return the notebook's path, where the server or VS Code tells it; else an empty text."""
    path = environ.get("JPY_SESSION_NAME") or space.get("__vsc_ipynb_file__")
    return path if isinstance(path, str) else ""


def _metric(named: tuple[str, Series]) -> Metric:
    name, curve = named
    x, y = curve.few(POINTS)
    return Metric(
        name=_line(name, 100),
        x=tuple(float(f"{v:.9g}") for v in x),  # a file of shortest decimals is half as large
        y=tuple(float(f"{v:.6g}") for v in y),
        last=math.nan if curve.last is None else curve.last,
        low=min(curve.y, default=math.nan),
        high=max(curve.y, default=math.nan),
        count=curve.count,
    )


def _line(text: str, limit: int = 1000) -> str:
    return mask_line(text[:limit], sure=True)


def _text(text: str) -> str:
    kept = text if len(text) <= _TEXT else text[:_TEXT].rpartition("\n")[0] + "\n# (cut here)\n"
    return mask_text(kept) if is_key(kept) else kept
