"""What could be meant by an override that names nothing; runs in the kernel."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING

from ddp_magic.line import peek
from ddp_magic.line.callsites import keywords
from ddp_magic.line.literals import is_code
from ddp_magic.masking import MASK, looks_secret, mask_text

if TYPE_CHECKING:
    from ddp_magic.line.targets import Cell

__all__ = ["NEAR", "inside", "known", "near", "paths", "shown", "some", "value_shown"]

NEAR = 0.7
_LOOKED_AT = 500


def shown(name: str, text: str) -> str:
    """Return an override as messages show it."""
    return f"{name}={value_shown(name, text)}"


def value_shown(name: str, text: str) -> str:
    """Return an override's right side as messages show it."""
    return MASK if looks_secret(name) else mask_text(text)


def near(cell: Cell, name: str) -> str:
    """Return what of all that can be overridden is most like a name; empty where nothing is."""
    found_paths = paths(cell)
    exact = [path for path in found_paths if path.rpartition(".")[2] == name]
    found = exact or difflib.get_close_matches(name, known(cell), 1, NEAR)
    if not found:
        last = {path.rpartition(".")[2]: path for path in reversed(found_paths)}
        found = [last[each] for each in difflib.get_close_matches(name, last, 1, NEAR)]
    return found[0] if found else ""


def inside(value: object, path: str, name: str) -> str:
    """Return the path to what has the name deeper in a value; empty where nothing has."""
    deeper = itertools.islice(peek.leaves(value, path), _LOOKED_AT)
    return next((each for each in deeper if each.rpartition(".")[2] == name), "")


def known(cell: Cell) -> list[str]:
    """Return the plain names that can be overridden."""
    found = {p for parameters, _ in cell.callables.values() for p in keywords(parameters)}
    for calls in cell.foreign.values():
        found.update(k.arg for call in calls for k in call.node.keywords if k.arg)
    read = {name for name in cell.reads if cell.is_variable(name)}
    return sorted(found | {n for n in read if not is_code(cell.user_ns.get(n))})


def paths(cell: Cell) -> list[str]:
    """Return the paths into what workers read, those of few steps first."""
    found = (
        path
        for name in sorted(cell.reads)
        if cell.is_variable(name)
        for path in peek.leaves(cell.user_ns.get(name), name)
    )
    return sorted(itertools.islice(found, _LOOKED_AT), key=lambda path: path.count("."))


def some(items: list[str]) -> str:
    """Return the first of many names as a sentence lists them."""
    return ", ".join(items[:8]) + (", ..." if len(items) > 8 else "")
