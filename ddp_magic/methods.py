"""Which methods train what --trainer names; in the kernel for classes, in a rank for objects."""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any

__all__ = ["METHODS", "trains"]

METHODS = ("train", "fit")
"""In the order in which they are tried."""
_AROUND = (staticmethod, classmethod, MethodType)


def trains(name: str, found: Any) -> bool:
    """Whether a method trains: that of a torch module itself only switches its mode.

    Args:
        name: ``train``, ``fit`` or ``__call__``.
        found: What an object or its class has by this name; none of its code runs.
    """
    around = issubclass(type(found), _AROUND)
    plain = found.__func__ if around else found
    module: Any = getattr(sys.modules.get("torch.nn"), "Module", None)
    return (around or callable(found)) and plain is not getattr(module, name, None)
