"""What one rank alone was in when its peers had ended, by its traceback; runs in every worker.

An error in a collective does not tell that the others never came to it. The notebook's lines do: it
stands under an ``if`` that tells the ranks apart.
"""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from typing import TYPE_CHECKING

from ddp_magic.sourcemap import CELL

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["condition", "meeting"]

_RANKS = re.compile(r"rank|main_process|process_zero|global_zero|process_index", re.IGNORECASE)
_LENGTH = 100
_MEETS = {
    "torch.nn.parallel.distributed": "DistributedDataParallel",
    "ultralytics": "Ultralytics",
}
"""Which modules' calls meet other ranks although they do not look like it."""


def condition(error: BaseException) -> str:
    """Return the ``if`` by which not all ranks got to where an error was raised; else nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename.startswith(CELL) and frame.lineno is not None:
            found = _above(frame.filename, frame.lineno)
            if found:
                return found
    return ""


def _above(cell: str, line: int) -> str:
    """Return the innermost ``if`` above a line whose test is about ranks."""
    text = "".join(linecache.getlines(cell))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # of a cell with a magic in it
        return ""
    return next(_tests(tree, line, text), "")


def _tests(tree: ast.AST, line: int, text: str) -> Iterator[str]:
    """Yield the tests of ranks that a line stands under, the innermost first."""
    for child in ast.iter_child_nodes(tree):
        first, last = getattr(child, "lineno", line), getattr(child, "end_lineno", line)
        if not first <= line <= last:
            continue
        yield from _tests(child, line, text)
        if not isinstance(child, ast.If) or line < child.body[0].lineno:
            continue
        test = " ".join((ast.get_source_segment(text, child.test) or "").split())
        if _RANKS.search(test):
            otherwise = bool(child.orelse) and line >= child.orelse[0].lineno
            yield (
                f"the `else` of `if {test[:_LENGTH]}:`" if otherwise else f"`if {test[:_LENGTH]}:`"
            )


def meeting(error: BaseException) -> str:
    """Return whose call met the other ranks, where that is not plain from the notebook's line."""
    modules = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    for name, said in _MEETS.items():
        if any(module == name or module.startswith(f"{name}.") for module in modules):
            return said
    return ""
