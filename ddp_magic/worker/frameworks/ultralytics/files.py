"""Where Ultralytics' ranks write, and what they fetch: once for all of them; in every worker."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.ultralytics.ranks import from_rank_0, rank, workers, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["agree", "take_turns"]


def agree(module: Any) -> None:
    """Have a trainer's ranks use one directory, and rank 0 see to the data set first."""
    wrap(module, "get_save_dir", _agreed)
    wrap(module.BaseTrainer, "get_dataset", _in_turn)


def take_turns(module: Any) -> None:
    """Have ranks fetch a file one after the other: all but the first find it there."""
    wrap(module, "safe_download", _one_at_a_time)


def _agreed(original: Callable[..., Path]) -> Callable[..., Path]:
    """Return a `get_save_dir` of which rank 0's answer counts.

    By itself rank 0 takes a new directory, and the others the last one of that name: they would
    validate the checkpoint of an earlier training.
    """

    @functools.wraps(original)
    def get_save_dir(args: Any, *others: Any, **named: Any) -> Path:
        def chosen() -> str:
            place = original(args, *others, **named)
            if not getattr(args, "resume", None):
                # A trainer does this next, and in several ranks at once it can fail.
                (place / "results.csv").unlink(missing_ok=True)
            return str(place)

        if workers() == 1:
            return original(args, *others, **named)
        asked = {name: getattr(args, name, None) for name in ("task", "project", "name")}
        return Path(from_rank_0(f"save_dir {asked}", chosen))

    return get_save_dir


def _in_turn(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a `get_dataset` that rank 0 calls first: it may download and unpack the data set.

    With a process group a trainer sees to that; the first one has none yet.
    """
    import torch

    @functools.wraps(original)
    def get_dataset(self: Any) -> Any:
        if workers() == 1 or torch.distributed.is_initialized():
            return original(self)
        asked = f"data {self.args.data}"
        if rank():
            from_rank_0(asked)
            return original(self)
        try:
            return original(self)
        finally:
            from_rank_0(asked)

    return get_dataset


def _one_at_a_time(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def safe_download(*arguments: Any, **options: Any) -> Any:
        with _turn():
            return original(*arguments, **options)

    return safe_download


@contextlib.contextmanager
def _turn() -> Generator[None]:
    """Hold a lock that all ranks of this run share: their program's file."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    with contextlib.ExitStack() as stack:
        if workers() > 1 and main:
            with contextlib.suppress(OSError):  # then as ever
                fcntl.flock(stack.enter_context(open(main, "rb")), fcntl.LOCK_EX)
        yield
