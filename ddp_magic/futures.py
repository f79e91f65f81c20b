"""The ``from __future__`` part of compiler flags; imported by kernel and workers."""

from __future__ import annotations
import __future__

import ast

__all__ = ["future_flags", "future_names", "futures_first"]

# nested_scopes and generators share their bits with what a code object is
_FLAGS = {
    name: getattr(__future__, name).compiler_flag
    for name in __future__.all_feature_names
    if getattr(__future__, name).compiler_flag > 0xFFF
}


def future_flags(flags: int) -> int:
    """Return the features among compiler or code flags."""
    return flags & sum(_FLAGS.values())


def future_names(flags: int) -> list[str]:
    """Return the names of the features."""
    return [name for name, flag in _FLAGS.items() if flags & flag]


def futures_first(tree: ast.Module) -> int:
    """Move ``from __future__`` imports above what stands above them; return how many there are."""
    is_future = [_is_future(statement) for statement in tree.body]
    tree.body.sort(key=lambda statement: not _is_future(statement))
    return sum(is_future)


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
