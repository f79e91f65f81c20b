"""The device of an Ultralytics trainer: the ranks' own, whatever a cell says; in every worker.

It takes the length of `device` for the number of ranks. One id too few, and there is no process
group; one too many, and making the group waits for three hours.
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from ddp_magic.ultralytics_device import asked, granted
from ddp_magic.worker.frameworks.company import said, workers
from ddp_magic.worker.frameworks.patches import around, patch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["choose"]


def choose(module: Any) -> None:
    """Have trainers be made for the device of the ranks."""
    patch(module, "BaseTrainer.__init__", _made)
    patch(module, "get_cfg", _read)


@around
def _made(wrapped: Callable[..., None], _: object, args: Any, given: dict[str, Any]) -> None:
    call = signature(wrapped).bind(*args, **given)
    call.apply_defaults()
    overrides = {**(call.arguments["overrides"] or {})}
    wanted = overrides["device"] if "device" in overrides else _of(call.arguments["cfg"])
    call.arguments["overrides"] = {**overrides, "device": _chosen(wanted)}
    wrapped(*call.args, **call.kwargs)


@around
def _read(wrapped: Callable[..., Any], _: object, args: Any, given: dict[str, Any]) -> Any:
    """Read the settings of what does not come by our `__init__`.

    That is one that a cell has replaced, and the settings of a checkpoint, which was made on other
    devices: only those are read without overrides.
    """
    overrides = signature(wrapped).bind(*args, **given).arguments.get("overrides")
    settings = wrapped(*args, **given)
    settings.device = _chosen(None if overrides is None else settings.device)
    return settings


def _of(cfg: Any) -> Any:
    return cfg.get("device") if isinstance(cfg, dict) else getattr(cfg, "device", None)


def _chosen(wanted: Any) -> Any:
    """Return the device to train on.

    Raises:
        ValueError: It is another one than that of the ranks.
    """
    import torch

    gpus = torch.cuda.is_available()
    device = granted(wanted, workers(), gpus=gpus)
    if device is None:
        raise ValueError(_why_not(wanted, workers(), gpus=gpus))
    return device


def _why_not(wanted: Any, count: int, *, gpus: bool) -> str:
    ids, given = asked(wanted), f"device={wanted!r}"
    train = "trains" if count == 1 else "train"
    if not gpus:
        return (
            f"{given} asks for a GPU, and this run's {said()} {train} on the CPU. "
            "Leave device out, which fits every run, or take GPUs with --gpus."
        )
    if ids == ["cpu"]:
        return f"{given} leaves the GPUs of this run's {said()} idle. Leave device out to use them."
    named = "1 device" if len(ids) == 1 else f"{len(ids)} devices"
    if len(ids) != count:
        return (
            f"{given} names {named}, and this run has {said()}. Leave device out: the number of "
            "workers stands on the %%ddp line."
        )
    return (
        f"{given} names other devices than this run's, which its ranks count from 0. Leave device "
        "out: --devices on the %%ddp line chooses GPUs."
    )
