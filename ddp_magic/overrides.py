"""What each ``name=value`` of the line goes to, and with which value; runs in the kernel.

A target is a notebook variable that the collected code reads, a path into one, a parameter of a
callable of the notebook that the cell calls, or a keyword that the cell writes. Whatever is not
exactly one of these is refused.
"""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ddp_magic.errors import OverrideError
from ddp_magic.line import suggestions, targets
from ddp_magic.line.callsites import CallSite
from ddp_magic.line.literals import Value, evaluate, require_fit
from ddp_magic.line.settable import require_taken
from ddp_magic.masking import MASK, looks_secret, mask_line

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping, Sequence

    from ddp_magic.line.parameters import Parameters
    from ddp_magic.line.targets import Target
    from ddp_magic.options import Override

__all__ = ["Bound", "CallSite", "resolve"]

_SAMPLES: dict[object, object] = {
    **{type(sample): sample for sample in (False, 0, 0.0, "")},
    **{type(sample).__name__: sample for sample in (False, 0, 0.0, "")},
}
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An override with its target and its value.

    Attributes:
        text: As written: ``lr=0.05``.
        target: ``lr`` for a variable, ``Trainer(lr)`` for an argument, ``cfg.lr`` for a path.
        value: What the workers get.
        kind: Whether it rebinds a global, sets something inside one, or gives an argument.
        name: The variable's or the parameter's name, or the path.
        calls: For an argument, every call of the cell that gets it.
        code: For a path, what Python assigns to: ``cfg["optim"].lr``.
        modules: For a path, modules on its way that must be imported.
        note: What the user should know of it.
        old: What a variable or path held; None where that is not known.
    """

    text: str
    target: str
    value: object
    kind: Literal["global", "path", "argument"]
    name: str
    calls: tuple[CallSite, ...] = ()
    code: str = ""
    modules: tuple[str, ...] = ()
    note: str = ""
    old: object = None

    @property
    def shown(self) -> str:
        """The override as views and records tell it: ``lr=0.05 → Trainer(lr)``."""
        target, _, text = self.text.partition("=")
        plain = isinstance(self.value, (bool, int, float, complex, type(None)))
        if (looks_secret(self.name) or looks_secret(target)) and not plain:
            text = MASK
        elif text.startswith(("{", "$")) and (plain or isinstance(self.value, str)):
            shown = repr(self.value)
            text += f" ({shown if len(shown) <= 40 else shown[:37] + '...'})"
        text = mask_line(text, sure=True)
        several = f" in {len(self.calls)} calls" if len(self.calls) > 1 else ""
        return f"{target}={text} → {self.target}{several}"

    @property
    def key(self) -> str:
        """What its value is called in the module; stands in readable text, so nothing secret."""
        return f"override {self.shown}"

    @property
    def place(self) -> str:
        """What Python assigns to; of no meaning for an argument."""
        return self.code or self.name

    @property
    def root(self) -> str:
        """The variable that it changes; empty for an argument."""
        return "" if self.kind == "argument" else self.name.partition(".")[0]


def resolve(
    overrides: Sequence[Override],
    *,
    tree: ast.Module,
    reads: frozenset[str],
    stores: frozenset[str],
    user_ns: dict[str, Any],
    first_line: int = 1,
    trainer: Mapping[str, Parameters] | None = None,
) -> tuple[Bound, ...]:
    """Find each override's one target and evaluate its value.

    All targets are found before any expression is evaluated.

    Args:
        overrides: Those of the line.
        tree: The cell's body.
        reads: Notebook globals that the body or the collected code reads.
        stores: Globals that the body binds.
        user_ns: The notebook's namespace.
        first_line: The cell's line that the tree's line 1 stands at, where the tree does not have
            the cell's line numbers; for messages.
        trainer: What the calls of --trainer take, by path.

    Raises:
        OverrideError: An override has no target or several, or its value does not fit.
    """
    cell = targets.Cell(
        tree=tree,
        reads=reads,
        stores=stores,
        user_ns=user_ns,
        shift=first_line - 1,
        trainer=trainer or {},
    )
    found = [(override, cell.target(override.target, override.text)) for override in overrides]
    for (first, one), (second, other) in itertools.combinations(found, 2):
        _require_apart(first, one, second, other)
    return tuple(_bind(override, target, user_ns) for override, target in found)


def _require_apart(first: Override, one: Target, second: Override, other: Target) -> None:
    """Refuse two overrides of one thing, or of a thing and what is inside it."""
    texts = [suggestions.shown(override.target, override.text) for override in (first, second)]
    places = [(id(t.place.holder), t.place.key) if t.place else t.label for t in (one, other)]
    if places[0] == places[1]:
        also = "" if one.label == other.label else f", which is {other.label},"
        raise OverrideError(
            f"{one.label}{also} is given twice, as {texts[0]} and as {texts[1]}. Keep one of them."
        )
    if one.calls or other.calls:
        return
    outer, inner = sorted((one.label, other.label), key=len)
    if inner.startswith(f"{outer}."):
        raise OverrideError(
            f"{' and '.join(texts)} do not go together: one replaces {outer} as a whole, the other "
            f"changes what is in it. Keep one of them."
        )


def _bind(override: Override, target: Target, user_ns: dict[str, Any]) -> Bound:
    value = evaluate(override.target, override.text, user_ns)
    _check(override, target, value, user_ns)
    place = target.place
    return Bound(
        text=f"{override.target}={override.text}",
        target=target.label,
        value=value.value,
        kind="argument" if target.calls else "path" if place else "global",
        name=target.name,
        calls=target.calls,
        code=place.code if place else "",
        modules=place.modules if place else (),
        note=target.note,
        old=next((old for old in target.replaced if old is not _EMPTY), None),
    )


def _check(override: Override, target: Target, value: Value, user_ns: dict[str, Any]) -> None:
    """Compare the value with everything that it replaces."""
    known = [old for old in target.replaced if old is not _EMPTY]
    for old in known:
        require_fit(override.target, override.text, value, old, user_ns)
    declared = target.declared
    if isinstance(declared, str):  # quoted once more under `from __future__ import annotations`
        declared = declared.strip("'\"")
    if not known and isinstance(declared, (type, str)) and declared in _SAMPLES:
        sample = _SAMPLES[declared]
        what = f"declared as {type(sample).__name__}"
        require_fit(override.target, override.text, value, sample, user_ns, what=what)
    if target.place:
        require_taken(target.place, value.value)
