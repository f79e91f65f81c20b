"""Makes `linecache` and `inspect` show the notebook's lines; runs in every worker."""

from __future__ import annotations

import io
import linecache
import sys
import tokenize
from typing import TYPE_CHECKING, Any

from ddp_magic.sourcemap import COMMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddp_magic.sourcemap import SourceMap

__all__ = ["ends_in_semicolon", "fill", "number_classes"]

_TRIVIA = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT}
)


def fill(source_map: SourceMap, path: str, text: str, classes: Mapping[str, Sequence[int]]) -> None:
    """Give `linecache` the cells' lines, and the module with its commented classes as code.

    Args:
        source_map: Has the cells' lines.
        path: The module's file.
        text: The module's text.
        classes: First and last line in the module of each class that was sent by value.
    """
    for label, numbered in source_map.texts.items():
        lines = [numbered.get(number, "\n") for number in range(1, max(numbered, default=0) + 1)]
        _enter(label, lines)
    module = [line + "\n" for line in text.split("\n")]
    for first, last in classes.values():
        for index in range(first - 1, last):
            module[index] = module[index].removeprefix(COMMENT)
    _enter(path, module)


def _enter(name: str, lines: list[str]) -> None:
    # without a modification time linecache never looks for the file
    linecache.cache[name] = (sum(map(len, lines)), None, lines, name)


def number_classes(
    namespace: dict[str, Any], source_map: SourceMap, classes: Mapping[str, Sequence[int]]
) -> None:
    """Tell classes the module's line that they stand on.

    From Python 3.13 on `inspect.getsource` takes a class's file from its module, and its line from
    ``__firstlineno__``, which says the cell's line here.
    """
    if sys.version_info < (3, 13):
        return
    shifts = {(r.label, r.cell_first): r for r in source_map.regions}
    for value in list(namespace.values()):
        if not isinstance(value, type) or value.__module__ != "__main__":
            continue
        line = value.__dict__.get("__firstlineno__")
        if value.__qualname__ in classes:
            value.__firstlineno__ = classes[value.__qualname__][0]
        elif line is not None:
            found = [r for (_, first), r in shifts.items() if first == line]
            if len(found) == 1:
                value.__firstlineno__ = line - found[0].shift


def ends_in_semicolon(text: str) -> bool:
    """Whether the last statement ends in ``;``, by which notebooks suppress its value."""
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _TRIVIA:
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        return text.rstrip().endswith(";")
    return last == ";"
