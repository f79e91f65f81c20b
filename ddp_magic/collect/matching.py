"""Whether what is live is what a statement's text says, part by part; runs in the kernel."""

from __future__ import annotations

import ast
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FunctionType

    from ddp_magic.collect.texts import FunctionNode

__all__ = [
    "Unproved",
    "check_function",
    "evaluates_to",
    "same_annotation",
    "same_doc",
    "same_literal",
]

_SCALARS = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis), tuple)
_PLAIN = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.BinOp,
    ast.BitOr,
    ast.expr_context,
)


class Unproved(Exception):
    """A definition goes by value; ``str()`` says why, in a few words."""


def check_function(node: FunctionNode, func: FunctionType, space: dict[str, Any]) -> None:
    """Compare what is evaluated when a ``def`` runs: docstring, defaults, annotations.

    Raises:
        Unproved: Something is not provably the same.
    """
    if not same_doc(node, func.__doc__):
        raise Unproved("its docstring was changed")
    defaults, named = func.__defaults__ or (), func.__kwdefaults__ or {}
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    written = {p.arg: default for p, default in pairs if default is not None}
    same = (
        len(defaults) == len(node.args.defaults)
        and all(map(same_literal, node.args.defaults, defaults))
        and named.keys() == written.keys()
        and all(same_literal(written[key], named[key]) for key in named)
    )
    if not same:
        raise Unproved("a default value is no plain literal")
    if not _same_annotations(node, func, space):
        raise Unproved("an annotation means something else now")


def _same_annotations(node: FunctionNode, func: FunctionType, space: dict[str, Any]) -> bool:
    a = node.args
    annotated = [p for p in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if p]
    written = {p.arg: p.annotation for p in annotated if p.annotation}
    if node.returns:
        written["return"] = node.returns
    live = func.__annotations__
    if written.keys() != live.keys():
        return False
    return all(same_annotation(expr, live[key], space) for key, expr in written.items())


def same_annotation(expr: ast.expr, live: Any, space: dict[str, Any]) -> bool:
    """Whether an annotation is the live one."""
    if isinstance(live, str):  # a string, or any expression under the __future__ feature
        return ast.unparse(expr) in (live, repr(live))
    return evaluates_to(expr, live, space)


def evaluates_to(expr: ast.expr, live: Any, space: dict[str, Any]) -> bool:
    """Whether an expression that runs nobody's code gives the live thing again."""
    if not all(isinstance(n, _PLAIN) for n in ast.walk(expr)):
        return False
    try:
        value = eval(compile(ast.Expression(expr), "<annotation>", "eval"), space)
        return bool(value is live or value == live)
    except Exception:
        return False


def same_literal(expr: ast.expr, live: Any) -> bool:
    """Whether an expression is a literal of the live value."""
    value = _literal(expr)
    return type(value) is type(live) and isinstance(value, _SCALARS) and repr(value) == repr(live)


@functools.lru_cache(maxsize=8192)
def _literal(expr: ast.expr) -> object:
    """Return a literal's value; something that no notebook holds for anything else."""
    try:
        return ast.literal_eval(expr)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _literal


def same_doc(node: FunctionNode | ast.ClassDef, live: Any) -> bool:
    """Whether a docstring is the live one."""
    written = _docstring(node)
    if written == live or written is None or not isinstance(live, str):
        return written == live
    return inspect.cleandoc(written) == inspect.cleandoc(live)  # 3.13 stores it dedented


@functools.lru_cache(maxsize=8192)
def _docstring(node: FunctionNode | ast.ClassDef) -> str | None:
    return ast.get_docstring(node, clean=False)
