"""The cell's text -> code: what all ranks run as the trainer, and the body; in every worker."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any

from ddp_magic.futures import future_flags, futures_first
from ddp_magic.worker import arguments, listing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

__all__ = ["compiled"]


def compiled(text: str, about: dict[str, Any]) -> tuple[list[CodeType], list[CodeType]]:
    """Return the trainer's codes and the body's; the second of either is an expression's.

    Args:
        text: What the worker runs: the body, below the head where there is one.
        about: What `script` has written of the program.
    """
    flags, label = about["flags"] | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, about["label"]
    with warnings.catch_warnings(action="ignore"):  # the kernel has shown them
        only = flags | ast.PyCF_ONLY_AST
        tree: ast.Module = compile(text, label, "exec", only, dont_inherit=True)
        ast.increment_lineno(tree, about["first_line"] - 1)
        head = 0
        if about["head"]:
            head = futures_first(tree) + len(ast.parse(about["head"]).body)
        arguments.put(tree, about["arguments"])
        first = list(_codes(tree.body[:head], label, flags, valued=True))
        # the body's own __future__ imports hold for all of it
        flags |= future_flags(first[0].co_flags) if first else 0
        valued = not listing.ends_in_semicolon(text)
        return first, list(_codes(tree.body[head:], label, flags, valued=valued))


def _codes(
    statements: list[ast.stmt], label: str, flags: int, *, valued: bool
) -> Iterator[CodeType]:
    """Compile the statements, then the last expression if they are to have a value."""
    last = statements[-1] if statements and valued else None
    rest = statements[:-1] if isinstance(last, ast.Expr) else statements
    if not statements:
        return
    code = compile(ast.Module(rest, []), label, "exec", flags, dont_inherit=True)
    yield code
    if isinstance(last, ast.Expr):
        flags |= future_flags(code.co_flags)
        yield compile(ast.Expression(last.value), label, "eval", flags, dont_inherit=True)
