"""Environment variables that collected code sets: a library may have read them already.

Runs in the kernel. A process that imports torch before it runs such code is not what one that
imports it afterwards would be.
"""

from __future__ import annotations

import dis
from typing import TYPE_CHECKING

from ddp_magic.collect.code import facts, nested

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType

__all__ = ["variables_set"]

_CHANGES_ONE = frozenset({"setdefault", "pop"})
_CHANGES_SOME = frozenset({"clear", "update"})
_SYSTEM = frozenset({"putenv", "unsetenv"})
_SILENT = frozenset({"CACHE", "COPY", "NOP", "PRECALL", "PUSH_NULL"})
_UNKNOWN = "environment variables"


def variables_set(codes: Iterable[CodeType]) -> frozenset[str]:
    """Return the variables that code sets or removes; `standby.birth` tells which are read late.

    Where the name is not written there, it is told as ``environment variables``.
    """
    found: set[str] = set()
    for code in codes:
        if not facts(code).names.isdisjoint({"environ", *_SYSTEM}):
            found.update(name for part in nested(code) for name in _set_in(part))
    return frozenset(found)


def _set_in(code: CodeType) -> Iterator[str]:
    steps = [step for step in dis.get_instructions(code) if step.opname not in _SILENT]
    for number, step in enumerate(steps):
        key, then = [*steps[number + 1 : number + 3], step, step][:2]
        if step.argval == "environ" and step.opname == "STORE_ATTR":  # os.environ |= ...
            yield _UNKNOWN
        elif not step.opname.startswith("LOAD"):
            continue
        elif step.argval in _SYSTEM:
            yield _name(key)
        elif step.argval != "environ":
            continue
        elif then.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            yield _name(key)
        elif key.argval in _CHANGES_ONE:
            yield _name(then)
        elif key.argval in _CHANGES_SOME:
            yield _UNKNOWN


def _name(step: dis.Instruction) -> str:
    constant = step.opname == "LOAD_CONST" and isinstance(step.argval, str)
    return step.argval if constant else _UNKNOWN
