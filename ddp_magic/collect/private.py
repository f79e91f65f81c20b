"""Text with a key in it that would stand in a readable file; runs in the kernel.

It goes by value, and what can be read says ``'***'``.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.definitions import How
from ddp_magic.collect.hiding import hide, key_nodes
from ddp_magic.collect.lines import BODY, given, kept, taken
from ddp_magic.masking import MASK, is_key, mask_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.collect.emit import Emitter

__all__ = ["keep_arguments", "keep_body", "keep_keys"]

_CONNECTION = re.compile(r"--?f=.*\.json", re.DOTALL)


def keep_body(emitter: Emitter, text: str) -> str:
    """Return the body's text as it may be read; the worker gets the text itself."""
    shown = hide(text)
    if shown != text:
        emitter.emit_value(BODY, text, How.FINAL, kept(BODY))
    return shown


def keep_arguments(emitter: Emitter, argv: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of the process as they may be read; the worker gets all of them.

    All but the file by which front-ends find a kernel: with it argparse ends a script's main() by
    "unrecognized arguments", which has none of its own in a notebook.
    """
    argv = _without_connection_file(argv)
    shown = [
        MASK if flag.startswith("-") and is_key(text, flag) else mask_line(text, sure=True)
        for flag, text in zip(["", *argv], argv, strict=False)
    ]
    if shown != list(argv):
        text = f'__import__("sys").argv[:] = {taken("sys.argv")}'
        emitter.emit_value("sys.argv", list(argv), How.STATE, text)
    return tuple(shown)


def _without_connection_file(argv: Sequence[str]) -> list[str]:
    found = [*argv]
    if found[1:2] == ["-f"] and "".join(found[2:3]).endswith(".json"):
        del found[1:3]
    elif _CONNECTION.fullmatch("".join(found[1:2])):
        del found[1]
    return found


def keep_keys(emitter: Emitter, call: str, space: dict[str, Any]) -> str:
    """Return a call's text with an expression for each key in it, which is sent by value."""
    if hide(call) == call:
        return call
    tree = ast.parse(call, mode="eval")
    given_by: dict[ast.AST, ast.expr] = {}
    for node in key_nodes(tree):
        key = f"argument {len(emitter.items)}"
        value: object = eval(compile(ast.Expression(node), "<argument>", "eval"), space)
        emitter.emit_value(key, value, How.FINAL, kept(key))
        given_by[node] = ast.parse(given(key), mode="eval").body
    return ast.unparse(_Replacing(given_by).visit(tree))


class _Replacing(ast.NodeTransformer):
    """Puts other expressions in the place of some."""

    def __init__(self, given_by: dict[ast.AST, ast.expr]) -> None:
        self._given_by = given_by

    def visit(self, node: ast.AST) -> Any:
        return self._given_by.get(node) or super().visit(node)
