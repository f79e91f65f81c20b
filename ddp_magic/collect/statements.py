"""What one cell's statements did besides binding names; runs in the kernel.

The only place that reads statements for their meaning, and only to find what to look at: what
travels is always the live value.
"""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.collect.texts import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Call", "Statements", "configures", "read", "seeds"]

_SEEDS = re.compile(r"(^|[._])(seed|manual_seed|manual_seed_all|seed_everything|set_seed)$")
_SETTINGS = re.compile(
    r"(^|\.)(set_\w+|register_\w+|enable_\w+|disable_\w+|use_deterministic_algorithms|register|use"
    r"|setrecursionlimit|setdefaulttimeout|setlocale|seterr|set_theme|filterwarnings|simplefilter"
    r"|basicConfig|setLevel|setcontext|disable|enable|captureWarnings)$"
)
_TIMED = frozenset({"time", "capture", "timeit", "prun"})


@dataclass(frozen=True, kw_only=True)
class Call:
    """A statement that calls something for its effect.

    Attributes:
        function: What is called, as ``np.set_printoptions``.
        node: The call.
        certain: Whether the cell has made the call if it ran to its end.
    """

    function: str
    node: ast.Call
    certain: bool

    @property
    def is_setting(self) -> bool:
        """Whether its name says that it configures."""
        return configures(self.function)


@dataclass(frozen=True, kw_only=True)
class Statements:
    """What one cell's text says.

    Attributes:
        imports: Name, module and attribute of each ``from module import attribute as name``.
        stars: Modules of ``from module import *``.
        targets: Attributes and items that statements set, as ``json.dumps``; in functions too.
        calls: What is called for its effect, outside functions.
        binds: Names that the cell binds.
        timed: Bodies of ``%%time`` and the like.
    """

    imports: tuple[tuple[str, str, str], ...]
    stars: tuple[str, ...]
    targets: tuple[str, ...]
    calls: tuple[Call, ...]
    binds: frozenset[str]
    timed: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Statements | None:
    """Read a cell; None if it does not parse."""
    tree = parse(text)
    if tree is None:
        return None
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
    calls = tuple(_calls(tree.body, certain=True))
    return Statements(
        imports=tuple(
            (a.asname or a.name, n.module or "", a.name)
            for n in froms
            for a in n.names
            if a.name != "*"
        ),
        stars=tuple(n.module or "" for n in froms if n.names[0].name == "*"),
        targets=tuple(dict.fromkeys([*_targets(tree), *_updated(calls)])),
        calls=calls,
        binds=frozenset(name for statement in tree.body for name in _binds(statement)),
        timed=tuple(_timed(tree)),
    )


def configures(function: str) -> bool:
    """Whether a call of this name configures something."""
    return _SETTINGS.search(function) is not None


def seeds(function: str) -> bool:
    """Whether a call of this name seeds a random generator."""
    return _SEEDS.search(function) is not None


def _targets(tree: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what is set: what a function may never have set has its old value, and that travels."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _targets(node, local | _locals(node))
            continue
        yield from (ast.unparse(t) for t in _set_by(node) if _is_chain(t, local))
        yield from _targets(node, local)


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    a = function.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    return {p.arg for p in named if p} | {n for s in function.body for n in _binds(s)}


def _set_by(statement: ast.AST) -> Iterator[ast.expr]:
    match statement:
        case ast.Assign(targets=found) | ast.Delete(targets=found):
            pass
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            found = [target]
        case _:
            return
    for target in found:
        parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
        yield from (p for p in parts if isinstance(p, (ast.Attribute, ast.Subscript)))


def _updated(calls: tuple[Call, ...]) -> Iterator[str]:
    """Yield the items that ``plt.rcParams.update({"font.size": 14})`` sets."""
    for call in calls:
        node, (holder, _, name) = call.node, call.function.rpartition(".")
        keys: list[object] = []
        if name == "update" and len(node.args) <= 1 and holder:
            given = node.args[0] if node.args else None
            if isinstance(given, ast.Dict):
                keys += [k.value for k in given.keys if isinstance(k, ast.Constant)]
            keys += [keyword.arg for keyword in node.keywords if keyword.arg]
        yield from (f"{holder}[{key!r}]" for key in keys)


def _calls(body: list[ast.stmt], *, certain: bool) -> Iterator[Call]:
    for statement in body:
        match statement:
            case ast.Expr(value=ast.Call() as call) if _is_chain(call.func):
                yield Call(function=ast.unparse(call.func), node=call, certain=certain)
            case ast.With(body=inner) | ast.AsyncWith(body=inner):
                yield from _calls(inner, certain=certain)
            case ast.If() | ast.For() | ast.While():
                yield from _calls([*statement.body, *statement.orelse], certain=False)
            case ast.Try() | ast.TryStar():
                inner = [*statement.body, *statement.orelse]
                yield from _calls(inner, certain=certain)
                yield from _calls(statement.finalbody, certain=certain)
            case _:
                pass


def _is_chain(node: ast.expr, local: frozenset[str] = frozenset()) -> bool:
    """Whether it is a name, not a local one, with attributes and constant items behind it.

    ``logging.getLogger("x")`` counts as one: it gives the same object each time.
    """
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        match node:
            case ast.Call(func=func, args=args, keywords=[]) if _is_lookup(func, args):
                node = func
            case ast.Attribute(value=value) | ast.Subscript(value=value, slice=ast.Constant()):
                node = value
            case _:
                return False
    return isinstance(node, ast.Name) and node.id not in local


def _is_lookup(func: ast.expr, args: list[ast.expr]) -> bool:
    name = ast.unparse(func).rpartition(".")[2]
    return name == "getLogger" and all(isinstance(arg, ast.Constant) for arg in args)


def _binds(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (a.asname or a.name.partition(".")[0] for a in node.names)


def _timed(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="run_cell_magic"),
                args=[ast.Constant(value=magic), _, ast.Constant(value=str(body))],
            ) if magic in _TIMED:
                yield body
            case _:
                pass
