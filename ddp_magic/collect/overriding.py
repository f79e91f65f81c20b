"""Puts the line's overrides into the module; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.collect.definitions import How, Item
from ddp_magic.collect.lines import kept, taken
from ddp_magic.collect.literals import is_literal
from ddp_magic.errors import CollectError

if TYPE_CHECKING:
    from ddp_magic.collect.emit import Emitter
    from ddp_magic.overrides import Bound

__all__ = ["emit_override"]


def emit_override(emitter: Emitter, bound: Bound) -> None:
    """Put an override into the module: something is set, or an argument kept for the body.

    Raises:
        CollectError: Its value, or the variable that it changes, cannot be sent.
    """
    if bound.kind == "path" and not emitter.emit(bound.root):
        raise CollectError(emitter.failures[bound.root])
    imports = "".join(f"__import__({name!r})\n" for name in bound.modules)
    setting = f"{imports}{bound.place} = "
    if bound.kind != "argument" and is_literal(bound.name, bound.value):
        text = setting + repr(bound.value)
        emitter.items.append(Item(name=bound.key, how=How.OVERRIDE, text=text))
        return
    text = kept(bound.key) if bound.kind == "argument" else setting + taken(bound.key)
    if not emitter.emit_value(bound.key, bound.value, How.OVERRIDE, text):
        raise CollectError(emitter.failures[bound.key])
