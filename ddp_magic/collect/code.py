"""Names and strings in live code objects; runs in the kernel."""

from __future__ import annotations

import dis
import re
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
_BY_STRING = frozenset(
    {"globals", "eval", "exec", "vars", "locals", "getattr", "__main__", "get_type_hints"}
)


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
    """Yield the string constants."""
    for part in nested(code):
        for const in part.co_consts:
            if isinstance(const, str):
                yield const
            elif isinstance(const, (tuple, frozenset)):
                yield from (item for item in const if isinstance(item, str))


def looks_up_by_string(code: CodeType) -> bool:
    """Whether the code may reach names by strings: ``globals()[...]``, ``eval``, ``getattr``."""
    return any(not _BY_STRING.isdisjoint(part.co_names) for part in nested(code))


def words(text: str) -> set[str]:
    """Return the identifiers in a string, if it is short enough to be code or a name."""
    return set(re.findall(r"[^\W\d]\w*", text)) if len(text) < 500 else set()
