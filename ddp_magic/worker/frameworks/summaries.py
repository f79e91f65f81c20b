"""What the finished trainers of some libraries have to tell; in rank 0's worker."""

from __future__ import annotations

import contextlib
import csv
from numbers import Number
from pathlib import Path
from typing import Any, SupportsFloat, cast

from ddp_magic.results.trained import Trained

__all__ = ["lightning", "ultralytics"]


def ultralytics(trainer: Any) -> Trained:
    """Tell of a trainer of Ultralytics."""
    # with save=False it saves once, at the end, and a better one lies there of another training
    ours = getattr(trainer.args, "save", True) or trainer.fitness == trainer.best_fitness
    return Trained(
        metrics=_numbers(trainer.metrics or {}),
        best=_file(trainer.best) if ours else "",
        last=_file(trainer.last),
        save_dir=str(trainer.save_dir),
        rows=_rows(trainer.csv),
    )


def lightning(trainer: Any) -> Trained:
    """Tell of a Trainer of Lightning."""
    saver = trainer.checkpoint_callback
    folder = trainer.log_dir
    return Trained(
        metrics=_numbers(trainer.callback_metrics),
        best=_file(getattr(saver, "best_model_path", "")),
        last=_file(getattr(saver, "last_model_path", "")),
        save_dir=str(folder or trainer.default_root_dir),
        rows=_rows(Path(folder, "metrics.csv")) if folder else [],
    )


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return what is a number or a tensor of one."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
            if isinstance(value, Number) or hasattr(value, "item"):
                found[str(name)] = float(cast("SupportsFloat", value))
    return found


def _file(path: str | Path) -> str:
    return str(path) if str(path) and Path(path).is_file() else ""


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return a table's lines; older releases of Ultralytics pad what they write."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file, skipinitialspace=True)
        return [
            {name.strip(): _plain(text) for name, text in line.items() if name} for line in lines
        ]


def _plain(text: str | None) -> Any:
    for kind in (int, float):
        with contextlib.suppress(TypeError, ValueError):
            return kind(text or "")
    return text
