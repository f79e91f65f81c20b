"""What cells did besides binding names: imports, patches, configuring calls; runs in the kernel.

The only place that reads statements for their meaning, and only to find what to look at: what
travels is always the live value.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.texts import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddp_magic.collect.notebook import Notebook
    from ddp_magic.collect.texts import Texts

__all__ = ["History"]

_SEEDS = re.compile(r"(^|[._])(seed|manual_seed|manual_seed_all|seed_everything|set_seed)$")
_SETTINGS = re.compile(
    r"(^|\.)(set_\w+|use_deterministic_algorithms|setrecursionlimit|filterwarnings|simplefilter"
    r"|register|use|basicConfig|setLevel|setcontext|disable|captureWarnings)$"
)
_TIMED = frozenset({"time", "capture", "timeit", "prun"})


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What one cell's text says."""

    imports: tuple[tuple[str, str, str], ...]
    """Name, module and attribute of each ``from module import attribute as name``."""
    stars: tuple[str, ...]
    targets: tuple[str, ...]
    """Attributes and items that top-level statements set, as ``json.dumps``."""
    changed: tuple[str, ...]
    """What top-level statements call a method of, as ``registry`` in ``registry.update(x)``."""
    settings: tuple[tuple[str, ast.Call], ...]
    seeded: bool
    binds: frozenset[str]
    magics: tuple[str, ...]
    """Bodies of ``%%time`` and the like."""


class History:
    """The facts of all cells that ran."""

    def __init__(self, notebook: Notebook, texts: Texts) -> None:
        self._imports: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._binds: dict[str, str] = {}
        self._stars: set[str] = set()
        self.targets: dict[str, str] = {}
        """Label of the last cell that set an attribute or item, by its text."""
        self.changed: dict[str, str] = {}
        """Likewise for what a method was called of."""
        self.settings: list[tuple[str, ast.Call, str]] = []
        """Configuring calls: the function's text, the call, the label."""
        self.seeded = False
        for label, text in texts.all():
            for facts in _facts_of(text, notebook):
                self._add(label, facts)

    def _add(self, label: str, facts: _Facts) -> None:
        for name, module, attribute in facts.imports:
            self._imports[name].append((module, attribute))
        self._stars.update(facts.stars)
        self.targets.update(dict.fromkeys(facts.targets, label))
        self.changed.update(dict.fromkeys(facts.changed, label))
        self.settings.extend((func, call, label) for func, call in facts.settings)
        self.seeded |= facts.seeded
        self._binds.update(dict.fromkeys(facts.binds, label))

    def imported_from(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield module and attribute that a cell may have imported a name from."""
        yield from self._imports.get(name, ())
        for star in self._stars:
            module: Any = sys.modules.get(star)
            public = getattr(module, "__all__", None)
            if name in public if public is not None else not name.startswith("_"):
                yield star, name

    def assigned_in(self, name: str) -> str:
        """Return the last cell that visibly set a name or attribute, or an empty string."""
        return self._binds.get(name) or self.targets.get(name, "")


def _facts_of(text: str, notebook: Notebook) -> Iterator[_Facts]:
    facts = _scan(text)
    if facts:
        yield facts
        for body in facts.magics:
            yield from _facts_of(notebook.transform(body), notebook)


@functools.lru_cache(maxsize=4096)
def _scan(text: str) -> _Facts | None:
    tree = parse(text)
    if tree is None:
        return None
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
    calls = [
        s.value
        for s in tree.body
        if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) and _is_chain(s.value.func)
    ]
    named = [(ast.unparse(call.func), call) for call in calls]
    rest = [c for f, c in named if not _SEEDS.search(f) and not _SETTINGS.search(f)]
    return _Facts(
        imports=tuple(
            (a.asname or a.name, n.module or "", a.name)
            for n in froms
            for a in n.names
            if a.name != "*"
        ),
        stars=tuple(n.module or "" for n in froms if n.names[0].name == "*"),
        targets=tuple(ast.unparse(t) for s in tree.body for t in _targets(s) if _is_chain(t)),
        changed=tuple(ast.unparse(c.func.value) for c in rest if isinstance(c.func, ast.Attribute)),
        settings=tuple((f, c) for f, c in named if _SETTINGS.search(f)),
        seeded=any(_SEEDS.search(f) for f, _ in named),
        binds=frozenset(name for s in tree.body for name in _binds(s)),
        magics=tuple(_timed(tree)),
    )


def _targets(statement: ast.stmt) -> Iterator[ast.expr]:
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


def _is_chain(node: ast.expr) -> bool:
    """Whether it is a name with attributes and constant items behind it."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return False
        node = node.value
    return isinstance(node, ast.Name)


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
