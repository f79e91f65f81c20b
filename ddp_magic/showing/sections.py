"""The lists below --show's table: overrides, setup cells, state, what is missing; in the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.definitions import How
from ddp_magic.collect.hiding import hide
from ddp_magic.showing.surroundings import Entry, process_entries, state_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddp_magic.collect.definitions import Definitions, Item
    from ddp_magic.showing.past import Past

__all__ = ["Section", "place", "sections"]

_STATE = (How.STATE, How.CALL)
_HINT = "Called in the notebook, not in the workers (a %%ddp_setup cell runs in them too)"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A list: what it is about, and what is in it."""

    title: str
    entries: tuple[Entry, ...]


def sections(definitions: Definitions, space: Mapping[str, Any], past: Past) -> Iterable[Section]:
    """Yield the lists; some are empty.

    Args:
        definitions: What was collected.
        space: The notebook's namespace.
        past: What its cells say.
    """
    items = definitions.items
    overrides = tuple(Entry(bound.shown) for bound in definitions.overrides)
    yield Section(title="Overrides", entries=overrides)
    setups = tuple(Entry("", place(item)) for item in items if item.how is How.SETUP)
    yield Section(title="Runs first in every worker (%%ddp_setup)", entries=setups)
    state = (state_entry(item, past) for item in items if item.how in _STATE)
    yield Section(title="Goes along", entries=(*state, *process_entries(definitions)))
    left = tuple(_left_out(name, why) for name, why in definitions.left_out.items())
    yield Section(title="Left out", entries=left)
    yield Section(title=_HINT, entries=tuple(_calls(definitions, space, past)))
    told = (*definitions.left_out.values(), "first in every worker.")
    notes = (Entry("", note) for note in definitions.notes if not note.endswith(told))
    yield Section(title="Notes", entries=tuple(notes))


def place(item: Item) -> str:
    """Return where the item is from: the cell, and the lines of what goes by its text."""
    if not item.first_line:
        return item.label
    last = item.first_line + len(item.text.splitlines()) - 1
    lines = f"lines {item.first_line}-{last}" if last > item.first_line else f"line {last}"
    return f"{item.label}, {lines}"


def _left_out(name: str, why: str) -> Entry:
    return Entry(name, why.removeprefix(f"{name} "))


def _calls(definitions: Definitions, space: Mapping[str, Any], past: Past) -> Iterable[Entry]:
    items = definitions.items
    imports = [item.text.split()[1] for item in items if item.how is How.IMPORT]
    values = [item.name for item in items if item.how is How.VALUE and item.name in space]
    modules = [*imports, *definitions.modules, *(type(space[name]).__module__ for name in values)]
    carried = {item.shown or item.text for item in items if item.how is How.CALL}
    carried |= {item.name.removeprefix("content of ") for item in items if item.how is How.STATE}
    setups = {item.label for item in items if item.how is How.SETUP}
    packages = {str(module).partition(".")[0] for module in modules}
    for text, label in past.not_repeated(space, packages, carried):
        call = hide(text)
        told = call in carried or any(n.startswith(f"{call} in ") for n in definitions.notes)
        if label not in setups and not told:
            yield Entry(call, label)
