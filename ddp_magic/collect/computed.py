"""Which collected values were visibly computed from one that is overridden; runs in the kernel.

Best effort, from the text of the cells: an override changes a variable in the workers, and what
the notebook has made from it before keeps the old one.
"""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.steps import reads_path, root_of, steps
from ddp_magic.collect.texts import parse
from ddp_magic.line import peek
from ddp_magic.line.first_use import uses
from ddp_magic.masking import looks_secret, mask_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ddp_magic.collect.history import History
    from ddp_magic.collect.steps import Step
    from ddp_magic.overrides import Bound

__all__ = ["notes"]

_MOST = 5
_LOOKED_AT = 200


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A value that was made from the overridden one.

    Attributes:
        cell: The file name of the cell that made it.
        by_way_of: What it was made from; the overridden name itself, or what was made from that.
        version: How often the overridden name had been bound by then.
    """

    cell: str
    by_way_of: str
    version: int


def notes(
    overrides: Sequence[Bound],
    history: History,
    collected: Collection[str],
    space: dict[str, Any],
) -> list[str]:
    """Return a sentence for each collected value that keeps what an override replaces.

    Args:
        overrides: Those of the line.
        history: The cells that ran.
        collected: The names that workers get.
        space: The notebook's namespace.
    """
    found = [bound.note for bound in overrides if bound.note]
    roots = {bound.root for bound in overrides}
    cells = [*history.ran()] if any(roots) else []
    for bound in overrides:
        if bound.root and not _is_same(bound.value, bound.old):
            trace = _Trace(bound.name)
            trace.follow(cells)
            held = [
                name
                for name in trace.made
                if name in collected and name in space and name not in roots
            ]
            for name in held[:_MOST]:
                label = history.label(trace.last(name).cell)
                found.append(_note(bound, name, trace, label, space[name]))
            if more := held[_MOST:]:
                names = ", ".join(more[:3]) + (", ..." if len(more) > 3 else "")
                found.append(
                    f"{len(more)} more values were made from {bound.name} and keep what it was: "
                    f"{names}"
                )
    return found


@dataclass
class _Trace:
    """Follows one overridden name or path through the cells.

    Attributes:
        path: ``lr`` or ``cfg.optim.lr``.
        made: What was made from it and has not been bound anew, by name and by what was set of it.
        version: How often it was bound.
    """

    path: str
    made: dict[str, dict[str, _Made]] = field(default_factory=dict[str, dict[str, _Made]])
    version: int = 0

    def follow(self, cells: Iterable[tuple[str, str]]) -> None:
        """Go through the cells in their order."""
        root = self.path.partition(".")[0]
        for cell, text in cells:
            if any(name in text for name in (root, *self.made)):
                tree = parse(text)
                for step in steps(tree.body if tree else []):
                    self._run(step, cell, root)

    def last(self, name: str) -> _Made:
        """Return the last of what made a value from it."""
        return next(reversed(self.made[name].values()))

    def _run(self, step: Step, cell: str, root: str) -> None:
        source = self._source(step.values, root)
        made = _Made(cell=cell, by_way_of=source, version=self.version) if source else None
        for name in step.binds - {root, source}:
            self.made.pop(name, None)
            if made:
                self.made[name] = {"": made}
        for target in step.changes:
            name, text = root_of(target), ast.unparse(target)
            if name not in (root, source):
                self.made.setdefault(name, {}).pop(text, None)
                self.made[name].update({text: made} if made else {})
                if not self.made[name]:
                    del self.made[name]
        self.version += root in step.binds

    def _source(self, values: Iterable[ast.AST], root: str) -> str:
        """Return what of this trace the values read; empty where nothing."""
        for value in values:
            read = {name for name, _, binds in uses(value) if not binds}
            whole = self.path == root and root in read
            if whole or (root in read and reads_path(value, self.path)):
                return self.path
            through = next((name for name in self.made if name in read), "")
            if through:
                return through
        return ""


def _note(bound: Bound, name: str, trace: _Trace, label: str, value: object) -> str:
    made = trace.last(name)
    direct = made.by_way_of == bound.name
    origin = bound.name if direct else f"{made.by_way_of}, and so from {bound.name},"
    last = bound.name.rpartition(".")[2]
    inside = itertools.islice(peek.leaves(value, name), _LOOKED_AT)
    leaf = min((p for p in inside if p.rpartition(".")[2] == last), key=len, default="")
    kept = "its old value"
    if leaf:
        kept = _told(leaf, _leaf(value, leaf), kept)
    elif direct and made.version == trace.version and bound.kind == "global":
        kept = _told(bound.name, bound.old, kept)
    remedy = f"Override {leaf} too" if leaf else "Run that cell with the new value"
    return (
        f"{name} was made from {origin} in {label} and keeps {kept}. {remedy} if it should follow."
    )


def _is_same(value: object, old: object) -> bool:
    return value is old or (peek.is_scalar(old) and type(value) is type(old) and value == old)


def _told(name: str, value: object, otherwise: str) -> str:
    """Return a number or short text as a sentence has it; nothing that looks like a key."""
    text = repr(value) if peek.is_scalar(value) else ""
    hidden = looks_secret(name) or mask_text(text) != text
    return otherwise if hidden or not text or len(text) > 40 else text


def _leaf(value: object, path: str) -> object:
    for step in path.split(".")[1:]:
        value = peek.members(value)[step]
    return value
