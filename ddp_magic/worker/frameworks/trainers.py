"""What there is to know of some libraries' trainers, by the names of their types; in every worker.

A trainer whose `train()` or `fit()` gives nothing would leave the notebook without any result.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.typenames import entry
from ddp_magic.worker.frameworks import lightning, summaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.results.trained import Trained

__all__ = ["is_known", "require_trained", "summary"]


def _may_be_untrained(_: object) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One library's trainers.

    Attributes:
        summary: Tells what came of a training.
        require_trained: Refuses one that was only made, where that cannot have been all.
    """

    summary: Callable[[Any], Trained]
    require_trained: Callable[[Any], None] = _may_be_untrained


_LIGHTNING = _Kind(summary=summaries.lightning, require_trained=lightning.require_fitted)
_KINDS = {
    "ultralytics.engine.trainer.BaseTrainer": _Kind(summary=summaries.ultralytics),
    "lightning.pytorch.trainer.trainer.Trainer": _LIGHTNING,
    "pytorch_lightning.trainer.trainer.Trainer": _LIGHTNING,
}


def is_known(trainer: object) -> bool:
    """Whether it is a trainer of a kind that is known here: it changes, and stays in its rank."""
    return entry(_KINDS, type(trainer)) is not None


def require_trained(made: object) -> None:
    """Refuse a trainer that was only made, alone or beside its model, where training was meant.

    Raises:
        TypeError: Says what to do instead.
    """
    items: tuple[object, ...] = made if isinstance(made, tuple) else (made,)
    for item in items:
        if kind := entry(_KINDS, type(item)):
            kind.require_trained(item)


def summary(trainer: object) -> Trained | None:
    """Return what came of a training, None where the trainer is of no kind that is known here."""
    if kind := entry(_KINDS, type(trainer)):
        with contextlib.suppress(Exception):  # another release, or a trainer of other habits
            return kind.summary(trainer)
    return None
