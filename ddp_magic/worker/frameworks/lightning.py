"""Lightning in a rank: a Trainer or Fabric takes the workers that are there, or says why not."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING, Any

from ddp_magic.worker.frameworks.company import is_rank, said, workers
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = [
    "answer_alone",
    "count_workers",
    "leave_signals",
    "require_fitted",
    "start_nothing",
    "watch_fabric",
    "watch_trainer",
]

_SET = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_ABOUT_DEVICES = re.compile(r"devices?\b|\bgpus?\b|accelerator|interactive", re.IGNORECASE)


def count_workers(module: ModuleType) -> None:
    """Let the CPU accelerator of this module count the workers of this machine.

    Lightning 2.6 takes one process there whatever the launcher says, so that each of our workers
    would train a model of its own.
    """
    module.CPUAccelerator.auto_device_count = staticmethod(_here)


def start_nothing(module: ModuleType) -> None:
    """Have ``strategy="ddp_notebook"`` and its like mean plain DDP: the processes are there.

    Under torchrun Lightning 2.6 would start N more from each of them, all of the same rank.
    """

    @around
    def init(wrapped: Callable[..., Any], _: Any, args: Any, given: dict[str, Any]) -> None:
        if "start_method" in given and is_rank():
            given = {**given, "start_method": "popen"}
        wrapped(*args, **given)

    patch(module, "DDPStrategy.__init__", init)


def leave_signals(module: ModuleType) -> None:
    """Leave SIGTERM to the worker, and restore of all signals only those that Lightning sets.

    Its SIGTERM handler, in front of ours, begins with a collective: it waits for the rank of whose
    end it was told. At the end of `fit()` it restores every signal as Python knows it, which is
    not how faulthandler has set it: asking for stacks would then kill the rank.
    """

    @around
    def register(wrapped: Callable[..., Any], instance: Any, args: Any, given: Any) -> None:
        before = signal.getsignal(signal.SIGTERM)
        wrapped(*args, **given)
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        found = instance._original_handlers  # noqa: SLF001 - there is no other way to it
        instance._original_handlers = {n: found[n] for n in _SET if n in found}  # noqa: SLF001

    patch(module, "_SignalConnector.register_signal_handlers", register)


def answer_alone(module: ModuleType) -> None:
    """Let a Trainer that has trained on all ranks know, once rank 0 is alone, that this is rank 0.

    So ``trainer.is_global_zero`` and ``trainer.save_checkpoint()`` do in the cell of --trainer what
    they did before.
    """

    @around
    def rank(wrapped: Callable[[], int], *_: Any) -> int:
        return wrapped() if is_rank() else 0

    for name in ("global_rank", "local_rank"):
        patch(module, f"TorchElasticEnvironment.{name}", rank)


def watch_trainer(module: ModuleType) -> None:
    """Check each Trainer of this module when it is made, and when it is to do something."""
    patch(module, "Trainer.__init__", _made)
    patch(module, "Trainer.fit", _trains)
    for name in ("fit", "validate", "test", "predict"):
        patch(module, f"Trainer.{name}", _needs_others)


def watch_fabric(module: ModuleType) -> None:
    """Check each Fabric of this module when it is made, and when it takes a model."""
    patch(module, "Fabric.__init__", _made)
    patch(module, "Fabric.setup", _trains)
    patch(module, "Fabric.setup_module", _trains)


def _here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@around
def _made(wrapped: Callable[..., None], instance: Any, args: Any, given: dict[str, Any]) -> None:
    """Make a Trainer or Fabric, which must be for one device or as many as there are workers."""
    try:
        wrapped(*args, **given)
    except Exception as error:
        if is_rank() and _ABOUT_DEVICES.search(str(error)):
            error.add_note(_about_workers(instance))
        raise
    devices, nodes = _asked(instance)
    if is_rank() and devices * nodes not in (1, workers()):
        each = f" on each of {nodes} nodes" if nodes > 1 else ""
        raise ValueError(
            f"This {_kind(instance)} is for {devices} devices{each}, and %%ddp has started "
            f"{said()}. Leave devices and num_nodes out of {_kind(instance)}(...), or start as "
            f"many workers: %%ddp -n {devices * nodes}."
        )


@around
def _trains(wrapped: Callable[..., Any], instance: Any, args: Any, given: dict[str, Any]) -> Any:
    """Train, unless each rank would do so alone; testing on one device may well be meant."""
    if workers() > 1 and instance.world_size == 1:
        kind, size = _kind(instance), workers()
        raise ValueError(
            f"This {kind} is for one device, so each of the {size} workers would train a model of "
            f"its own. Leave devices and strategy out of {kind}(...), or write devices={size}. "
            "For one worker, start the cell with %%ddp -n 1."
        )
    return wrapped(*args, **given)


@around
def _needs_others(
    wrapped: Callable[..., Any], instance: Any, args: Any, given: dict[str, Any]
) -> Any:
    """Do it, unless the ranks that this Trainer was made for have ended."""
    environment = getattr(instance.strategy, "cluster_environment", None)
    if not is_rank() and type(environment).__name__ == "TorchElasticEnvironment":
        kind = _kind(instance)
        raise RuntimeError(
            f"This {kind} has worked on several ranks, and with --trainer the cell's body runs in "
            f"rank 0 only, when the others have ended. Make a {kind}(devices=1) for this here, or "
            "have it done by what --trainer names."
        )
    return wrapped(*args, **given)


def require_fitted(trainer: Any) -> None:
    """Refuse a Trainer that was only made.

    Raises:
        TypeError: Says what to do instead.
    """
    if trainer.state.fn is None:
        kind = _kind(trainer)
        raise TypeError(
            f"What --trainer names has made a {kind} and fitted nothing: fit() needs a model. "
            f"Call fit(model) of the {kind} there as well, and return the {kind}."
        )


def _asked(instance: Any) -> tuple[int, int]:
    strategy = instance.strategy
    return len(getattr(strategy, "parallel_devices", None) or [0]), getattr(
        strategy, "num_nodes", 1
    )


def _kind(instance: Any) -> str:
    return type(instance).__name__


def _about_workers(instance: Any) -> str:
    on_cpu = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return (
        f"%%ddp has started {said()}, {'on the CPU' if on_cpu else 'whose GPUs count from 0'}. "
        f"Leave accelerator, devices, num_nodes and strategy out of {_kind(instance)}(...): then "
        "it takes what is there."
    )
