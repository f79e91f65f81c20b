"""What a finished trainer has to tell, by the name of its type; in rank 0's worker.

A trainer whose `train()` or `fit()` gives nothing would leave the notebook without any result.
"""

from __future__ import annotations

import contextlib
import csv
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat, cast

from ddp_magic.results.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_known", "summary"]


def summary(trainer: object) -> Trained | None:
    """Return what came of a training, None where the trainer is of no kind that is known here."""
    if tell := _way(trainer):
        with contextlib.suppress(Exception):  # another release, or a trainer of other habits
            return tell(trainer)
    return None


def is_known(trainer: object) -> bool:
    """Whether it is a trainer of a kind that is known here: it changes, and stays in its rank."""
    return _way(trainer) is not None


def _way(trainer: object) -> Callable[[Any], Trained] | None:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(trainer).__mro__)
    return next((_KINDS[name] for name in names if name in _KINDS), None)


def _ultralytics(trainer: Any) -> Trained:
    return Trained(
        metrics=_numbers(trainer.metrics or {}),
        best=_file(trainer.best),
        last=_file(trainer.last),
        save_dir=str(trainer.save_dir),
        rows=_rows(trainer.csv),
    )


def _lightning(trainer: Any) -> Trained:
    saver = trainer.checkpoint_callback
    folder = trainer.log_dir
    return Trained(
        metrics=_numbers(trainer.callback_metrics),
        best=_file(getattr(saver, "best_model_path", "")),
        last=_file(getattr(saver, "last_model_path", "")),
        save_dir=str(folder or trainer.default_root_dir),
        rows=_rows(Path(folder, "metrics.csv")) if folder else [],
    )


_KINDS = {
    "ultralytics.engine.trainer.BaseTrainer": _ultralytics,
    "lightning.pytorch.trainer.trainer.Trainer": _lightning,
    "pytorch_lightning.trainer.trainer.Trainer": _lightning,
}


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return what is a number or a tensor of one."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
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
        return [{name.strip(): _plain(text) for name, text in line.items()} for line in lines]


def _plain(text: str | None) -> Any:
    for kind in (int, float):
        with contextlib.suppress(TypeError, ValueError):
            return kind(text or "")
    return text
