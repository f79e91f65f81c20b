"""What a value is, in a few words of the notebook; runs in the kernel.

No code of the user runs for it: lengths come from the builtin types themselves, shapes from
libraries' types only.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["describe", "shares_memory"]

_SIZED: dict[type, str] = {
    str: "character",
    bytes: "byte",
    bytearray: "byte",
    **dict.fromkeys((list, tuple, set, frozenset, dict, deque), "item"),
}


def describe(value: Any, space: Mapping[str, Any], made_in: Mapping[str, str]) -> str:
    """Return what a value is: ``Tensor float32 (60000, 784)``, ``Net of Cell In[2]``.

    Args:
        value: The value.
        space: The notebook's namespace, which tells an older class from the one of its name.
        made_in: The cell of each class that goes along, by the class's name.
    """
    if isinstance(value, type):
        return "class"
    if isinstance(value, FunctionType):
        return "lambda" if value.__name__ == "<lambda>" else "function"
    if isinstance(value, MethodType):
        return f"method of {_named(type(value.__self__), space, made_in)}"
    name = _named(type(value), space, made_in)
    for words in (_length, _parameters, _shape):
        with contextlib.suppress(Exception):  # a library's own property may fail
            if more := words(value):
                return name + more
    return name


def shares_memory(value: Any, nbytes: int) -> bool:
    """Whether an array or tensor takes fewer bytes than it has: others brought its memory along."""
    kind = type(value)
    with contextlib.suppress(Exception):
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            return not value.dtype.hasobject and value.flags.forc and nbytes < value.nbytes
        if _is_array(kind) and kind.__module__.startswith("torch"):
            return value.device.type != "meta" and value.is_contiguous() and nbytes < value.nbytes
    return False


def _named(kind: type, space: Mapping[str, Any], made_in: Mapping[str, str]) -> str:
    """Return a class's name and where it is from."""
    name, module = str(kind.__qualname__), str(kind.__module__)
    package = module.partition(".")[0]
    if module == "__main__":
        if "." not in name and name in space and space[name] is not kind:
            return f"an older {name}"
        return f"{name} of {made_in[name]}" if name in made_in else name
    return name if module == "builtins" or _is_array(kind) else f"{name} of {package}"


def _length(value: Any) -> str:
    for kind in type(value).__mro__:
        if kind in _SIZED:
            count: int = kind.__len__(value)
            return f", {count:,} {_SIZED[kind]}{'' if count == 1 else 's'}"
    return ""


def _shape(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "__main__":
        return ""
    shape, dtype = _plain(value, "shape"), getattr(value, "dtype", "")
    if not isinstance(shape, tuple):
        return ""
    words = f" {str(dtype).removeprefix('torch.')}" if dtype else ""
    device = str(getattr(value, "device", "cpu")) if _is_array(kind) else "cpu"
    return f"{words} {tuple(shape)}" + (f" on {device}" if device != "cpu" else "")


def _parameters(value: Any) -> str:
    torch: Any = sys.modules.get("torch")
    if torch is None or not issubclass(type(value), torch.nn.Module):
        return ""
    parameters: Callable[[Any], Any] = torch.nn.Module.parameters
    count = sum(parameter.numel() for parameter in parameters(value))
    return f", {_rounded(count)} parameters" if count else ""


def _is_array(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "numpy") and hasattr(kind, "shape")


def _plain(value: Any, name: str) -> Any:
    """Return an attribute that the type itself declares, and no module's lazy one."""
    return getattr(value, name) if hasattr(type(value), name) else None


def _rounded(count: int) -> str:
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return str(count)
