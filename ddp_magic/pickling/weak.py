"""How weak references and containers are written; what they refer to lives on in the receiver.

Its side is `making`.
"""

from __future__ import annotations

import weakref
from typing import Any

from ddp_magic.pickling import making

__all__ = ["REDUCERS"]


def _weak_reference(obj: weakref.ref[Any]) -> tuple[Any, ...]:
    referent = obj()
    if referent is None:
        return making.dead, ()
    return making.reference, (referent, obj.__callback__)


def _weak_method(obj: Any) -> tuple[Any, ...]:
    bound = obj()
    return (making.dead, ()) if bound is None else (making.method, (bound,))


def _weak_container(obj: Any) -> tuple[Any, ...]:
    content = list(obj) if isinstance(obj, weakref.WeakSet) else dict(obj)
    own = {n: v for n, v in vars(obj).items() if n not in vars(type(obj)())}
    return type(obj), (), (content, own), None, None, making.fill_weakly


REDUCERS: dict[type, Any] = {
    weakref.ref: _weak_reference,
    weakref.WeakMethod: _weak_method,
    weakref.WeakSet: _weak_container,
    weakref.WeakKeyDictionary: _weak_container,
    weakref.WeakValueDictionary: _weak_container,
}
