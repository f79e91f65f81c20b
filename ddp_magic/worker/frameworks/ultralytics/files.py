"""Where Ultralytics' ranks write, and what they fetch: once for all of them; in every worker."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.company import workers
from ddp_magic.worker.frameworks.patches import around, patch
from ddp_magic.worker.frameworks.ultralytics.ranks import from_rank_0, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["agree", "take_turns"]


def agree(module: Any) -> None:
    """Have a trainer's ranks use one directory, and rank 0 see to the data set first."""
    patch(module, "get_save_dir", _agreed)
    patch(module, "BaseTrainer.get_dataset", _in_turn)


def take_turns(module: Any) -> None:
    """Have ranks fetch a file one after the other: all but the first find it there."""
    patch(module, "safe_download", _one_at_a_time)


@around
def _agreed(wrapped: Callable[..., Path], _: object, args: Any, given: dict[str, Any]) -> Path:
    """Take the directory that rank 0 gets for a training.

    By itself rank 0 takes a new directory, and the others the last one of that name: they would
    validate the checkpoint of an earlier training.
    """
    if workers() == 1:
        return wrapped(*args, **given)
    settings = signature(wrapped).bind(*args, **given).args[0]

    def chosen() -> str:
        place = wrapped(*args, **given)
        if not getattr(settings, "resume", None):
            # A trainer does this next, and in several ranks at once it can fail.
            (place / "results.csv").unlink(missing_ok=True)
        return str(place)

    asked = {name: getattr(settings, name, None) for name in ("task", "project", "name")}
    return Path(from_rank_0(f"save_dir {asked}", chosen))


@around
def _in_turn(wrapped: Callable[[], Any], trainer: Any, *_: object) -> Any:
    """Have rank 0 get a data set first: it may download and unpack it.

    With a process group a trainer sees to that; the first one has none yet.
    """
    import torch

    if workers() == 1 or torch.distributed.is_initialized():
        return wrapped()
    asked = f"data {trainer.args.data}"
    if rank():
        from_rank_0(asked)
        return wrapped()
    try:
        return wrapped()
    finally:
        from_rank_0(asked)


@around
def _one_at_a_time(wrapped: Callable[..., Any], _: object, args: Any, given: Any) -> Any:
    with _turn():
        return wrapped(*args, **given)


@contextlib.contextmanager
def _turn() -> Generator[None]:
    """Hold a lock that all ranks of this run share: their program's file."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    with contextlib.ExitStack() as stack:
        if workers() > 1 and main:
            with contextlib.suppress(OSError):  # then as ever
                fcntl.flock(stack.enter_context(open(main, "rb")), fcntl.LOCK_EX)
        yield
