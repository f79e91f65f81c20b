"""Ultralytics' training on several data sets in one call; runs in every worker."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.company import workers
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["refuse"]


def refuse(module: Any) -> None:
    """Refuse such a call where it would start a program for each data set, in every rank."""
    patch(module, "MultiTrainer.__init__", _in_this_process, newer=True)


@around
def _in_this_process(
    wrapped: Callable[..., None], _: object, args: Any, given: dict[str, Any]
) -> None:
    trainer = signature(wrapped).bind(*args, **given).args[0]
    if trainer is None and workers() > 1:
        raise ValueError(
            "For several data sets Ultralytics starts programs of its own, which would be no "
            "ranks of this run. Name a trainer, as in trainer=DetectionTrainer, or call "
            "train() for each data set in a loop."
        )
    wrapped(*args, **given)
