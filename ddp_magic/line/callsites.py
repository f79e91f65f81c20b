"""Where the cell calls what the notebook defines, and how it passes a parameter.

Runs in the kernel.
"""

from __future__ import annotations

import ast
import functools
import inspect
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CallSite", "Passing", "calls", "keywords", "passing", "signature"]

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True)
class CallSite:
    """A call in the cell whose argument is overridden.

    Attributes:
        lineno: Line of the `ast.Call` in the tree; its function is a plain name, which tells it
            from the outer call of ``Trainer()()``.
        col_offset: Column of the call, in bytes as in `ast`.
        position: Index among the positional arguments of the one to replace; None to set the
            keyword, replacing it where it is given.
    """

    lineno: int
    col_offset: int
    position: int | None


@dataclass(frozen=True, kw_only=True)
class Passing:
    """How the calls of one callable pass one parameter.

    Attributes:
        callee: The callable's name in the cell.
        sites: Every call.
        given: What the calls pass for it, where they do.
        default: Its default; `Parameter.empty` without one.
        declared: Its annotation; `Parameter.empty` without one.
        hidden: Why it cannot be overridden; empty where it can.
        vague: Whether ``**kwargs`` may take it, but nothing says that it does.
    """

    callee: str
    sites: tuple[CallSite, ...] = ()
    given: tuple[ast.expr, ...] = ()
    default: object = Parameter.empty
    declared: object = Parameter.empty
    hidden: str = ""
    vague: bool = False


def signature(value: object, module: object) -> Signature | None:
    """Return the parameters of a class or function that the notebook defines, None for others.

    Args:
        value: What the notebook's name stands for.
        module: The notebook's ``__name__``, usually ``__main__``.
    """
    try:
        defined = value
        while isinstance(defined, functools.partial):
            defined = defined.func
        # isroutine also knows functools.lru_cache's; it looks at types alone
        if not isinstance(defined, type) and not inspect.isroutine(defined):
            return None
        if getattr(defined, "__module__", None) != module:
            return None
        return inspect.signature(value)  # pyright: ignore[reportArgumentType]
    except Exception:  # a proxy may refuse even isinstance, a metaclass or a signature anything
        return None


def keywords(parameters: Signature) -> list[str]:
    """Return the parameters that a call can pass by name."""
    return [p.name for p in parameters.parameters.values() if p.kind in _NAMED]


def calls(tree: ast.Module) -> dict[str, list[ast.Call]]:
    """Return the calls by plain name, in the cell's order, nested functions included."""
    found: dict[str, list[ast.Call]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.setdefault(node.func.id, []).append(node)
    for nodes in found.values():
        nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return found


def passing(
    callee: str, parameter: str, parameters: Signature, nodes: Iterable[ast.Call], shift: int
) -> Passing | None:
    """Say how these calls pass a parameter; None where the callable has none of that name.

    Args:
        callee: The callable's name.
        parameter: The parameter's name.
        parameters: The callable's signature.
        nodes: Its calls.
        shift: What to add to a line of the tree for the cell's line, in messages.
    """
    found = parameters.parameters.get(parameter)
    if found is None or found.kind not in (*_NAMED, Parameter.POSITIONAL_ONLY):
        return _collected(callee, parameter, parameters, nodes)
    before = list(parameters.parameters)[: list(parameters.parameters).index(parameter)]
    index = len(before) if found.kind is not Parameter.KEYWORD_ONLY else None
    sites: list[CallSite] = []
    given: list[ast.expr] = []
    for node in nodes:
        where = f"the call in line {node.lineno + shift}"
        site, value = _site(node, parameter, index)
        if site is None:
            return Passing(callee=callee, hidden=f"{where} hides it behind * or **")
        if found.kind is Parameter.POSITIONAL_ONLY and site.position is None:
            return Passing(callee=callee, hidden=f"{where} leaves out what has no keyword")
        sites.append(site)
        given.extend([value] if value is not None else [])
    return Passing(
        callee=callee,
        sites=tuple(sites),
        given=tuple(given),
        default=found.default if len(given) < len(sites) else Parameter.empty,
        declared=found.annotation,
    )


def _site(
    node: ast.Call, parameter: str, index: int | None
) -> tuple[CallSite | None, ast.expr | None]:
    """Return where a call passes the parameter and what; no site where that is hidden."""

    def site(position: int | None) -> CallSite:
        return CallSite(lineno=node.lineno, col_offset=node.col_offset, position=position)

    stars = [at for at, value in enumerate(node.args) if isinstance(value, ast.Starred)]
    plain = min(stars, default=len(node.args))
    if index is not None and index < plain:
        return site(index), node.args[index]
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return site(None), keyword.value
    if (index is not None and stars) or any(keyword.arg is None for keyword in node.keywords):
        return None, None
    return site(None), None


def _collected(
    callee: str, parameter: str, parameters: Signature, nodes: Iterable[ast.Call]
) -> Passing | None:
    """Find the parameter among what ``**kwargs`` collects: only where a call writes it."""
    kinds = {p.kind: p.name for p in parameters.parameters.values()}
    if Parameter.VAR_KEYWORD not in kinds:
        return None
    written = [
        (CallSite(lineno=node.lineno, col_offset=node.col_offset, position=None), keyword.value)
        for node in nodes
        for keyword in node.keywords
        if keyword.arg == parameter
    ]
    if not written:
        hidden = f"**{kinds[Parameter.VAR_KEYWORD]} hides it"
        return Passing(callee=callee, hidden=hidden, vague=True)
    sites, given = zip(*written, strict=True)
    return Passing(callee=callee, sites=sites, given=given)
