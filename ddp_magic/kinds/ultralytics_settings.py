"""The settings that an Ultralytics trainer knows, and those that several ranks cannot have.

Runs in the kernel. The library's own table and its own check are asked: `ultralytics.cfg`.
"""

from __future__ import annotations

import functools
import re
import sys
from inspect import Parameter, signature
from keyword import iskeyword
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import OverrideError
from ddp_magic.ultralytics_device import asked, granted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ddp_magic.overrides import Bound

__all__ = ["check", "inherited", "known"]

_TYPED = {
    "CFG_BOOL_KEYS": bool,
    "CFG_FLOAT_KEYS": float,
    "CFG_FRACTION_KEYS": float,
    "CFG_INT_KEYS": int,
    "CFG_STR_KEYS": str,
}
_BESIDES = ("augmentations", "save_dir")
"""What releases take that their table does not have."""
_UNKNOWN = Parameter.empty
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def known(made: Any, own: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the settings by name, each with its value now and its type, where that is fixed.

    Args:
        made: The class of the trainer, or a partial of it.
        own: Settings that stand over the library's.
    """
    table = {**_defaults(), **_of_its_cfg(made), **own}
    names = [*table, *_BESIDES, *_read_by_notebook(made)]
    types = {key: kind for name, kind in _TYPED.items() for key in getattr(_cfg(), name, ())}
    return {
        name: Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=table[name] if types.get(name) and table.get(name) is not None else _UNKNOWN,
            annotation=types.get(name, _UNKNOWN),
        )
        for name in dict.fromkeys(names)
        if type(name) is str and name.isidentifier() and not iskeyword(name)
    }


def inherited(args: SimpleNamespace) -> dict[str, Any]:
    """Return what holds in the ranks of the settings of a trainer that the notebook has made."""
    return {name: value for name, value in vars(args).items() if name != "device"}


def check(before: Mapping[str, Any], bound: Sequence[Bound], ranks: int, gpus: bool) -> None:  # noqa: FBT001
    """Refuse settings that the library would refuse, or that do not go with several ranks.

    Args:
        before: Settings that the line's stand over.
        bound: The line's.
        ranks: How many there are.
        gpus: Whether each has a GPU.

    Raises:
        OverrideError: Says which, and what to write.
    """
    given = {each.name: each.value for each in bound if any(call.inside for call in each.calls)}
    _ask_library({name: value for name, value in given.items() if name in _defaults()})
    now = {**before, **given}
    _check_device(now.get("device"), ranks, gpus=gpus)
    if ranks < 2:
        return
    if now.get("rect") is True:
        raise OverrideError(
            f"rect=True sorts the pictures by shape, and {ranks} ranks share them out in another "
            "order. Write rect=False."
        )
    batch = now.get("batch")
    if isinstance(batch, (int, float)) and batch < ranks:
        what = "lets Ultralytics try out what fits" if batch < 1 else f"leaves {ranks} ranks less"
        more = ", which only one process can do" if batch < 1 else " than one picture each"
        raise OverrideError(
            f"batch={batch:g} {what}{more}. Write the pictures of all ranks together, as in "
            f"batch={8 * ranks}."
        )


def _check_device(device: Any, ranks: int, *, gpus: bool) -> None:
    """Refuse early what `worker.frameworks.ultralytics.device` refuses in the ranks."""
    if granted(device, ranks, gpus=gpus) is not None:
        return
    where = f"{ranks} workers, each with a GPU of its own" if gpus else "workers on the CPU"
    raise OverrideError(
        f"device={','.join(asked(device))} does not fit this run, which has {where}. Leave it out: "
        "--gpus, --devices and --nproc say where the workers run, and each is told its own."
    )


def _ask_library(given: dict[str, Any]) -> None:
    """Let the library check values as it will in the ranks."""
    if not given or not hasattr(_cfg(), "get_cfg"):
        return
    try:
        _cfg().get_cfg(_defaults(), dict(given))
    except (TypeError, ValueError, SyntaxError) as error:
        said = _COLOUR.sub("", " ".join(str(error).split()))
        raise OverrideError(f"Ultralytics does not take this: {said}") from None


def _cfg() -> Any:
    return sys.modules.get("ultralytics.cfg")


def _defaults() -> dict[str, Any]:
    return {**getattr(_cfg(), "DEFAULT_CFG_DICT", {})}


def _of_its_cfg(made: Any) -> dict[str, Any]:
    """Return the table that a trainer begins with by default."""
    cfg: Any = signature(made).parameters.get("cfg", Parameter("cfg", Parameter.KEYWORD_ONLY))
    if isinstance(cfg.default, SimpleNamespace):
        return {**vars(cfg.default)}
    return {**cfg.default} if type(cfg.default) is dict else {}


def _read_by_notebook(made: Any) -> Iterator[str]:
    """Yield what a notebook's ``__init__`` may take out of the dict: ``overrides.pop("gamma")``."""
    while isinstance(made, functools.partial):
        made = made.func
    for kind in made.__mro__:
        init = vars(kind).get("__init__")
        if kind.__module__ == "__main__" and isinstance(init, FunctionType):
            yield from (c for c in init.__code__.co_consts if isinstance(c, str))
