"""Names and strings in live code objects; runs in the kernel."""

from __future__ import annotations

import dis
import inspect
import itertools
import re
import sys
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["imports", "looks_up_by_string", "nested", "reads", "stores", "strings", "words"]

_READS = frozenset(
    {
        "LOAD_GLOBAL",
        "LOAD_NAME",
        "LOAD_FROM_DICT_OR_GLOBALS",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "DELETE_NAME",
    }
)
_BY_STRING = frozenset({"globals", "eval", "exec", "get_type_hints"})
_OWN_NAMESPACE = frozenset({"vars", "locals", "dir"})
_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, from Python 3.14 on


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield the code and all code inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


def reads(code: CodeType) -> set[str]:
    """Return the names that code may look up in its globals, nested code too.

    What a class body has bound itself before is its own.
    """
    found: set[str] = set()
    for part in nested(code):
        own: set[str] = set()
        for step in dis.get_instructions(part):
            if step.opname in _READS and step.argval not in own:
                found.add(step.argval)
            elif step.opname == "STORE_NAME" and part is not code:
                own.add(step.argval)
    return found


def stores(code: CodeType) -> set[str]:
    """Return the names that module-level code binds in its namespace."""
    found: set[str] = set()
    for part in nested(code):
        ops = {"STORE_GLOBAL", "STORE_NAME"} if part is code else {"STORE_GLOBAL"}
        found.update(s.argval for s in dis.get_instructions(part) if s.opname in ops)
    return found


def imports(code: CodeType) -> set[str]:
    """Return the modules that the code imports."""
    parts = (dis.get_instructions(part) for part in nested(code))
    return {s.argval for steps in parts for s in steps if s.opname == "IMPORT_NAME"}


def strings(code: CodeType) -> Iterator[str]:
    """Yield the string constants, without docstrings."""
    for part in nested(code):
        for index, const in enumerate(part.co_consts):
            if index == 0 and _has_docstring(part):
                continue
            if isinstance(const, str):
                yield const
            elif isinstance(const, (tuple, frozenset)):
                yield from (item for item in const if isinstance(item, str))


def looks_up_by_string(code: CodeType) -> bool:
    """Whether the code may reach names by strings: ``globals()[...]``, ``eval``, ``vars()``.

    ``vars(args)`` and ``getattr(model, name)`` are in half of all notebooks and reach none, so
    these count only without an argument, and with ``__main__``.
    """
    for part in nested(code):
        if not _BY_STRING.isdisjoint(part.co_names) or _asks_own_namespace(part):
            return True
        main = "__main__" in part.co_names or "__main__" in part.co_consts
        if main and "getattr" in part.co_names:
            return True
    return False


def _asks_own_namespace(code: CodeType) -> bool:
    if _OWN_NAMESPACE.isdisjoint(code.co_names):
        return False
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("PUSH_NULL", "CACHE")]
    return any(
        step.argval in _OWN_NAMESPACE and after.opname in ("PRECALL", "CALL") and after.arg == 0
        for step, after in itertools.pairwise(steps)
    )


def _has_docstring(code: CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    is_function = bool(code.co_flags & inspect.CO_NEWLOCALS) and code.co_name != "<lambda>"
    return is_function and bool(code.co_consts) and isinstance(code.co_consts[0], str)


def words(text: str) -> set[str]:
    """Return the identifiers in a string, if it is short enough to be code or a name."""
    return set(re.findall(r"[^\W\d]\w*", text)) if len(text) < 500 else set()
