"""Which names a body reads before it has certainly bound them; runs in the kernel.

In ``with open(p) as f: f.read()`` the notebook's own ``f``, a closed file of an earlier cell, is
not what is read, and must not stop the run.
"""
# ruff: noqa: N815 - the names are those of `ast.NodeVisitor`

from __future__ import annotations

import ast
import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

__all__ = ["reads_unbound"]

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def reads_unbound(tree: ast.Module) -> set[str]:
    """Return names that are read, or may be, before the module has bound them.

    Names that are local to a function count as read too: it is the code object that knows those.
    """
    order = _Order()
    order.visit(tree)
    return order.read


class _Order(ast.NodeVisitor):
    """Visits in the order of evaluation and remembers what is certainly bound."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.read: set[str] = set()

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    @contextlib.contextmanager
    def _maybe(self) -> Generator[None]:
        """What is bound in here is not certain, or not visible, behind it."""
        before = self.bound.copy()
        yield
        self.bound = before

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)
        elif node.id not in self.bound:
            self.read.add(node.id)
        if isinstance(node.ctx, ast.Del):
            self.bound.discard(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._all([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._all([node.annotation, node.value])
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.bound:
            self.read.add(node.target.id)
        self._all([node.target, node.value])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._all([node.value, node.target])

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound.update(a.asname or a.name.partition(".")[0] for a in node.names)

    visit_ImportFrom = visit_Import

    def visit_Global(self, node: ast.Global) -> None:
        self.read.update(set(node.names) - self.bound)

    def visit_If(self, node: ast.If | ast.While) -> None:
        self.visit(node.test)
        with self._maybe():
            self._all(node.body)
        with self._maybe():
            self._all(node.orelse)

    visit_While = visit_If

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        with self._maybe():
            self._all([node.target, *node.body])
        with self._maybe():
            self._all(node.orelse)

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        with self._maybe():
            self._all([*node.body, *node.orelse])
        for handler in node.handlers:
            with self._maybe():
                self.visit(handler)
        self._all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._all([node.type])
        self.bound.update([node.name] if node.name else [])
        self._all(node.body)

    def visit_match_case(self, node: ast.match_case) -> None:
        with self._maybe():
            for part in ast.walk(node.pattern):
                names: list[Any] = [getattr(part, "name", None), getattr(part, "rest", None)]
                self.bound.update(name for name in names if name)
            self._all([node.pattern, node.guard, *node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all([*node.decorator_list, node.returns])
        self._function(node, node.body)
        self.bound.add(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: _Function, body: Iterable[ast.AST]) -> None:
        self.visit(node.args)
        with self._maybe():
            self._all(body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases, *node.keywords])
        with self._maybe():
            self._all(node.body)
        self.bound.add(node.name)

    def visit_ListComp(self, node: _Comprehension) -> None:
        with self._maybe():
            for generator in node.generators:
                self._all([generator.iter, generator.target, *generator.ifs])
            self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp
