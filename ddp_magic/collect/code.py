"""Names and strings in live code objects; runs in the kernel."""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
import re
import sys
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Facts", "facts", "nested", "reads", "words"]

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
_BY_STRING = frozenset({"globals", "eval", "exec"})
_OF_MODULE = frozenset({"getattr", "hasattr", "vars", "__dict__", "attrgetter", "modules"})
_OWN_NAMESPACE = frozenset({"vars", "locals", "dir"})
_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, from Python 3.14 on


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a code object says of itself and of the code inside it.

    Attributes:
        reads: Names that it may look up in its globals. What a class body has bound itself before
            is its own.
        stores: Names that it binds there.
        imports: Modules that it imports.
        names: All names and attributes in it.
        strings: Its string constants, without docstrings.
        words: The identifiers in them.
        by_string: Whether it may reach names by strings: ``globals()[...]``, ``eval``, ``vars()``.
    """

    reads: frozenset[str]
    stores: frozenset[str]
    imports: frozenset[str]
    names: frozenset[str]
    strings: tuple[str, ...]
    words: frozenset[str]
    by_string: bool


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield the code and all code inside it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from nested(const)


@functools.lru_cache(maxsize=8192)
def facts(code: CodeType) -> Facts:
    """Return what a code object says; disassembled once, since notebooks run the same code often.

    Equal code says the same.
    """
    reads: set[str] = set()
    stores: set[str] = set()
    imports: set[str] = set()
    parts = list(nested(code))
    for part in parts:
        own: set[str] = set()
        for step in dis.get_instructions(part) if part.co_names else ():
            name = step.argval
            if step.opname in _READS and name not in own:
                reads.add(name)
            elif step.opname == "STORE_NAME":
                (stores if part is code else own).add(name)
            elif step.opname == "IMPORT_NAME":
                imports.add(name)
            if step.opname == "STORE_GLOBAL":
                stores.add(name)
    strings = tuple(text for part in parts for text in (*_strings(part), *_of_main(part)))
    return Facts(
        reads=frozenset(reads),
        stores=frozenset(stores),
        imports=frozenset(imports),
        names=frozenset(name for part in parts for name in part.co_names),
        strings=strings,
        words=frozenset().union(*map(words, strings)),
        by_string=any(_looks_up_by_string(part, reads) for part in parts),
    )


def reads(code: CodeType) -> frozenset[str]:
    """Return the names that code may look up in its globals, nested code too."""
    return facts(code).reads


def _strings(code: CodeType) -> Iterator[str]:
    for index, const in enumerate(code.co_consts):
        if index == 0 and _has_docstring(code):
            continue
        if isinstance(const, str):
            yield const
        elif isinstance(const, (tuple, frozenset)):
            yield from (item for item in const if isinstance(item, str))


def _looks_up_by_string(code: CodeType, reads: set[str]) -> bool:
    """Whether it is code that may reach names by strings.

    ``model.eval()``, ``vars(args)`` and ``getattr(model, name)`` are in half of all notebooks and
    reach none: `eval` counts as a name only, the others without an argument or with ``__main__``.
    """
    names = {*code.co_names, *(const for const in code.co_consts if isinstance(const, str))}
    if not _BY_STRING.isdisjoint(reads) and not _BY_STRING.isdisjoint(code.co_names):
        return True
    if "get_type_hints" in names or _asks_own_namespace(code):
        return True
    main = "__main__" in names or {"__name__", "modules"} <= names
    return "__main__" in code.co_names or (main and not _OF_MODULE.isdisjoint(names))


def _of_main(code: CodeType) -> tuple[str, ...]:
    """Return what may be attributes of ``__main__``, as in ``__main__.epochs``."""
    own = "__main__" in code.co_names or "__main__" in code.co_consts
    return code.co_names if own else ()


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


def words(text: str) -> list[str]:
    """Return the identifiers in a string, if it is short enough to be code or a name."""
    return re.findall(r"[^\W\d]\w*", text) if len(text) < 500 else []
