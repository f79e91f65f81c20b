"""What each ``name=value`` of the line goes to, and with which value; runs in the kernel.

A target is a notebook variable that the collected code reads, or a parameter of a callable of the
notebook that the cell calls by name. Whatever is not exactly one of these is refused.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ddp_magic.errors import OverrideError
from ddp_magic.line import targets
from ddp_magic.line.callsites import CallSite
from ddp_magic.line.literals import Value, evaluate, require_fit
from ddp_magic.masking import MASK, looks_secret

if TYPE_CHECKING:
    import ast
    from collections.abc import Sequence

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
        target: ``lr`` for a variable, ``Trainer(lr)`` for a parameter.
        value: What the workers get.
        kind: Whether it rebinds a global or an argument.
        name: The variable's or the parameter's name.
        calls: For an argument, every call of the cell that gets it.
    """

    text: str
    target: str
    value: object
    kind: Literal["global", "argument"]
    name: str
    calls: tuple[CallSite, ...] = ()

    @property
    def shown(self) -> str:
        """The override as views and records tell it: ``lr=0.05 → Trainer(lr)``."""
        target, _, text = self.text.partition("=")
        plain = isinstance(self.value, (bool, int, float, complex, type(None)))
        if looks_secret(self.name) and not plain:
            text = MASK
        elif text.startswith(("{", "$")) and (plain or isinstance(self.value, str)):
            shown = repr(self.value)
            text += f" ({shown if len(shown) <= 40 else shown[:37] + '...'})"
        several = f" in {len(self.calls)} calls" if len(self.calls) > 1 else ""
        return f"{target}={text} → {self.target}{several}"


def resolve(
    overrides: Sequence[Override],
    *,
    tree: ast.Module,
    reads: frozenset[str],
    stores: frozenset[str],
    user_ns: dict[str, Any],
    first_line: int = 1,
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

    Raises:
        OverrideError: An override has no target or several, or its value does not fit.
    """
    cell = targets.Cell(
        tree=tree, reads=reads, stores=stores, user_ns=user_ns, shift=first_line - 1
    )
    found = [(override, cell.target(override.target, override.text)) for override in overrides]
    seen: dict[str, str] = {}
    for override, target in found:
        text = targets.shown(override.target, override.text)
        if target.label in seen:
            raise OverrideError(
                f"{target.label} is given twice, as {seen[target.label]} and as {text}. "
                "Keep one of them."
            )
        seen[target.label] = text
    return tuple(_bind(override, target, user_ns) for override, target in found)


def _bind(override: Override, target: Target, user_ns: dict[str, Any]) -> Bound:
    value = evaluate(override.target, override.text, user_ns)
    _check(override, target, value, user_ns)
    return Bound(
        text=f"{override.target}={override.text}",
        target=target.label,
        value=value.value,
        kind="argument" if target.calls else "global",
        name=target.name,
        calls=target.calls,
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
