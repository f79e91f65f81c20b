"""Ultralytics' training on several data sets in one call; runs in every worker."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.ultralytics.ranks import workers, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["refuse"]


def refuse(module: Any) -> None:
    """Refuse such a call where it would start a program for each data set, in every rank."""
    if hasattr(module, "MultiTrainer"):
        wrap(module.MultiTrainer, "__init__", _in_this_process)


def _in_this_process(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def make(self: Any, trainer: Any, *others: Any, **named: Any) -> None:
        if trainer is None and workers() > 1:
            raise ValueError(
                "For several data sets Ultralytics starts programs of its own, which would be no "
                "ranks of this run. Name a trainer, as in trainer=DetectionTrainer, or call "
                "train() for each data set in a loop."
            )
        original(self, trainer, *others, **named)

    return make
