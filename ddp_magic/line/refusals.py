"""What is said of an override that has no target or several; runs in the kernel."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, NoReturn

from ddp_magic.errors import OverrideError
from ddp_magic.line import peek, suggestions
from ddp_magic.line.callsites import SETS, keywords, signature
from ddp_magic.line.literals import described
from ddp_magic.line.suggestions import NEAR, known, near, paths, shown, some, value_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.line.callsites import Passing
    from ddp_magic.line.paths import Missing
    from ddp_magic.line.targets import Cell

__all__ = [
    "refuse_hidden",
    "refuse_own",
    "refuse_path",
    "refuse_several",
    "refuse_two_ways",
    "refuse_unknown",
]


def refuse_own(cell: Cell, name: str, text: str, passings: list[Passing]) -> NoReturn:
    """Refuse a name that the cell binds itself."""
    others = [f"{p.callee}.{shown(name, text)}" for p in passings if p.callee]
    choice = f", or write {' or '.join(others)} for the argument" if others else ""
    raise OverrideError(
        f"The cell itself sets {name} in line {cell.own[name]}, so an override would be lost. "
        f"Change it there{choice}."
    )


def refuse_several(
    name: str,
    text: str,
    passings: list[Passing],
    *,
    variable: bool,
    held: Sequence[str] = (),
) -> NoReturn:
    """Refuse a name of several targets, and say how to choose."""
    labels = [f"the variable {name}"] * variable
    labels += [f"{p.label(name)} in {p.where}" for p in passings] + [*held]
    found = [p.callee for p in passings] + [path.rpartition(".")[0] for path in held]
    paths = dict.fromkeys(found)
    if "" in paths or len(paths) < len(found):
        remedy = f"Pass a variable of the notebook to the one that is meant, and override {name} so"
    else:
        remedy = f"Write {' or '.join(f'{path}.{shown(name, text)}' for path in paths)}"
        remedy += " for the argument" if variable else ""
    if variable:
        remedy += f", or set {name} in a cell for the variable"
    raise OverrideError(f"{name} could mean {_listed(labels)}. {remedy}.")


def refuse_two_ways(cell: Cell, written: str, text: str, passing: Passing) -> NoReturn:
    """Refuse a path that is there while a call of the same name takes such an argument."""
    head, _, name = written.rpartition(".")
    try:
        alone = cell.target(name, text).label == passing.label(name)
    except OverrideError:
        alone = False
    value = value_shown(name, text)
    choice = shown(name, text) if alone else f"{head}({name}={value}) in the cell"
    raise OverrideError(
        f"{written} could mean {passing.label(name)} in {passing.where} or the attribute {name} of "
        f"{head}. Write {choice} for the argument, or set {written} in a cell for the attribute."
    )


def refuse_hidden(cell: Cell, name: str, text: str, passing: Passing) -> NoReturn:
    """Refuse an argument that a call passes in a way that cannot be replaced."""
    callee = passing.callee or "the call"
    if SETS in passing.hidden:
        raise OverrideError(
            f"{passing.label(name)} cannot be overridden: {passing.hidden}. "
            "Set that in a line of its own."
        )
    paths = [f"{getattr(node, 'id', '')}.{name}" for node in passing.splats]
    there = [path for path in paths if path[0] != "." and type(cell.find(path)).__name__ == "Place"]
    other = f", or override {shown(there[0], text)}" if there else ""
    raise OverrideError(
        f"{name} may be a parameter of {callee}, but {passing.hidden}. "
        f"Write it in the cell, as {callee}({name}=...), to have it overridden{other}."
    )


def refuse_path(cell: Cell, written: str, text: str, found: Missing | None) -> NoReturn:
    """Refuse a path that leads nowhere."""
    head, _, name = written.rpartition(".")
    root = written.partition(".")[0]
    if head in cell.callables:
        known = keywords(cell.callables[head][0])
        _refuse_misspelt(f"{head} has no parameter {name}", name, known, f"{head}.{{}}={text}")
    if head in cell.foreign:
        _refuse_unwritten(cell, written, text)
    if root in cell.own:
        refuse_own(cell, root, text, [])
    called = signature(cell.user_ns.get(root), cell.user_ns.get("__name__", "__main__"))
    if head == root and called is not None and name in keywords(called):
        raise OverrideError(
            f"{shown(written, text)} means a call of {head}, and the cell does not call "
            f"{head} by name. Call it in the cell, or set the value where it is called."
        )
    if found is None:
        _refuse_unread(cell, root, written, text)
    _refuse_missing(found, written, text)


def _refuse_missing(missing: Missing, written: str, text: str) -> NoReturn:
    """Say which step is not there, and what is."""
    steps = peek.members(missing.value)
    behind = written.removeprefix(f"{missing.path}.{missing.name}")
    last = written.rpartition(".")[2]
    value = value_shown(written, text)
    same = suggestions.inside(missing.value, missing.path, last)
    close = difflib.get_close_matches(missing.name, steps, 1, NEAR)
    what = described("", missing.value, brief=True)
    message = f"{missing.path} is {what} without an attribute or key {missing.name}"
    if same or close:
        meant = same or f"{missing.path}.{close[0]}{behind}"
        raise OverrideError(f"{message}. Did you mean {meant}={value}?")
    there = [f"{missing.path}.{name}" for name in steps]
    remedy = f"What is there: {some(there)}" if there else "Override the whole, or set it in a cell"
    raise OverrideError(f"{message}. {remedy}.")


def _refuse_unread(cell: Cell, root: str, written: str, text: str) -> NoReturn:
    """Say that no worker reads a variable, and which one that is read holds it."""
    if root not in cell.user_ns:
        message = f"{root} is no variable that this cell uses"
        whole = difflib.get_close_matches(written, paths(cell), 1, NEAR)
        meant = whole[0] if whole else near(cell, written.rpartition(".")[2]) or near(cell, root)
        if meant:
            raise OverrideError(f"{message}. Did you mean {shown(meant, text)}?")
        _refuse_misspelt(message, written, [*known(cell), *paths(cell)], f"{{}}={text}")
    message = (
        f"{shown(written, text)} would change nothing: nothing that this cell runs reads the "
        f"variable {root}"
    )
    rest = written.removeprefix(root)
    for name in sorted(filter(cell.is_variable, cell.reads)):
        for step, inner in peek.members(cell.user_ns.get(name)).items():
            if inner is cell.user_ns[root] and not peek.is_scalar(inner):
                meant = shown(f"{name}.{step}{rest}", text)
                raise OverrideError(f"{message}. Did you mean {meant}?")
    meant = near(cell, written.rpartition(".")[2])
    if meant and meant != written:
        raise OverrideError(f"{message}. Did you mean {shown(meant, text)}?")
    raise OverrideError(f"{message}. Set what was made from it, or use it in the cell.")


def refuse_unknown(cell: Cell, name: str, text: str) -> NoReturn:
    """Refuse a plain name that nothing has."""
    for path, calls in cell.foreign.items():
        if path[0] != "#" and any(_takes(cell.callees.live(call), name) for call in calls):
            _refuse_unwritten(cell, f"{path}.{name}", text)
    if name in cell.own:
        refuse_own(cell, name, text, [])
    if name in cell.user_ns:
        _refuse_unread(cell, name, name, text)
    message = f"{name} is neither a variable that this cell uses nor an argument that it passes"
    meant = near(cell, name)
    if meant:
        raise OverrideError(f"{message}. Did you mean {shown(meant, text)}?")
    _refuse_misspelt(message, name, [*known(cell), *paths(cell)], f"{{}}={text}")


def _refuse_unwritten(cell: Cell, written: str, text: str) -> NoReturn:
    """Say of a call of what the notebook does not define that it must write the keyword."""
    callee, _, name = written.rpartition(".")
    calls = cell.foreign[callee]
    line = calls[0].node.lineno + cell.shift
    said = [k.arg for call in calls for k in call.node.keywords if k.arg]
    message = f"The call of {callee} in line {line} writes no {name}"
    close = difflib.get_close_matches(name, said, 1, NEAR)
    if close and not any(_takes(cell.callees.live(call), name) for call in calls):
        raise OverrideError(f"{message}. Did you mean {shown(f'{callee}.{close[0]}', text)}?")
    raise OverrideError(
        f"{message}, and this notebook does not define it. "
        f"Write {callee}({name}=...) in the cell, to have it overridden."
    )


def _takes(function: object, name: str) -> bool:
    """Whether a function of a library has such a parameter."""
    if function is None or not callable(function):
        return False
    try:
        return name in keywords(inspect.signature(function))
    except Exception:
        return False


def _refuse_misspelt(message: str, name: str, known: list[str], line: str) -> NoReturn:
    close = difflib.get_close_matches(name, known, 1, NEAR)
    if close:
        raise OverrideError(f"{message}. Did you mean {line.format(close[0])}?")
    remedy = f"What can be overridden: {some(known)}" if known else "Nothing here can be overridden"
    raise OverrideError(f"{message}. {remedy}.")


def _listed(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} or {items[-1]}"
