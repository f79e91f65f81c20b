"""What --show tells, without its looks: a table, lists, the module; runs in the kernel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.definitions import How
from ddp_magic.collect.hiding import hide
from ddp_magic.masking import mask_line
from ddp_magic.showing.describe import describe, shares_memory
from ddp_magic.showing.sections import Section, place, sections
from ddp_magic.wording import volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddp_magic.collect.definitions import Definitions, Item
    from ddp_magic.showing.past import Past

__all__ = ["Inventory", "Row", "take_inventory"]

_ORDER = (How.VALUE, How.SOURCE, How.LITERAL, How.IMPORT)
_COUNTED = {
    How.IMPORT: ("import", "imports"),
    How.SOURCE: ("by source", "by source"),
    How.LITERAL: ("literal", "literals"),
    How.VALUE: ("by value", "by value"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One name of the notebook."""

    name: str
    how: str
    size: str = ""
    origin: str = ""
    what: str = ""
    why: str = ""
    """Why it does not go by source."""
    is_code: bool = False
    """Whether `what` is Python."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """All that is shown, as plain text that has not passed the escape."""

    title: str
    summary: str
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    code: str
    """The module, and below it the body."""


def take_inventory(
    definitions: Definitions, module: str, space: Mapping[str, Any], past: Past, title: str
) -> Inventory:
    """Return what there is to tell of a run that has been prepared.

    Args:
        definitions: What was collected.
        module: The module's text.
        space: The notebook's namespace.
        past: What its cells say.
        title: What the run would be.
    """
    body = definitions.body.strip("\n")
    code = f"{hide(module).rstrip()}\n\n# Then the cell itself runs:\n{hide(body)}\n"
    return Inventory(
        title=title,
        summary=_summary(definitions),
        rows=tuple(_rows(definitions, space, past)),
        sections=tuple(s for s in sections(definitions, space, past) if s.entries),
        code=code,
    )


def _summary(definitions: Definitions) -> str:
    items = [item for item in definitions.items if item.how in _COUNTED]
    counts = Counter(item.how for item in items)
    nbytes = sum(item.nbytes for item in items)
    parts = [f"{counts[how]} {words[counts[how] != 1]}" for how, words in _COUNTED.items()]
    shown = [part for part in parts if not part.startswith("0 ")]
    if counts[How.VALUE]:
        shown[-1] += f" ({volume(nbytes)})"
    names = f"{len(items)} name{'' if len(items) == 1 else 's'}"
    left = f"; {len(definitions.left_out)} left out" if definitions.left_out else ""
    return f"{names}: {', '.join(shown)}{left}" if items else f"no names of the notebook{left}"


def _rows(definitions: Definitions, space: Mapping[str, Any], past: Past) -> Iterable[Row]:
    overridden = {bound.name for bound in definitions.overrides if bound.kind == "global"}
    made_in = {item.name: item.label for item in definitions.items if item.how is How.SOURCE}
    made_in |= {name: label for name, (label, _, _) in definitions.classes.items()}
    first: dict[int, str] = {
        id(obj): name for name, obj in definitions.objects.items() if space.get(name) is obj
    }
    for how in _ORDER:
        items = [item for item in definitions.items if item.how is how]
        if how is How.VALUE:
            rows = [_value_row(item, space, made_in, first) for item in items]
            yield from (r for _, r in sorted(zip(items, rows, strict=True), key=_largest_first))
            continue
        for item in items:
            yield _row(item, past, overridden=item.name in overridden)


def _largest_first(pair: tuple[Item, Row]) -> int:
    return -pair[0].nbytes


def _row(item: Item, past: Past, *, overridden: bool) -> Row:
    what = item.kind
    is_code = item.how is not How.SOURCE
    if item.how is How.IMPORT:
        what = item.text
    elif item.how is How.LITERAL:
        what = mask_line(item.text, sure=True).partition(" = ")[2]
    if overridden:
        what += " (overridden)"
    origin = place(item) or past.bound.get(item.name, "")
    return Row(name=item.name, how=str(item.how), origin=origin, what=what, is_code=is_code)


def _value_row(
    item: Item, space: Mapping[str, Any], made_in: Mapping[str, str], first: dict[int, str]
) -> Row:
    if item.name not in space:
        return Row(name=item.name, how="value", size=volume(item.nbytes), what=item.kind)
    value = space[item.name]
    same = first.setdefault(id(value), item.name)
    if same != item.name:
        return Row(
            name=item.name, how="value", origin=item.label, what=f"the same object as {same}"
        )
    what, shared = describe(value, space, made_in), shares_memory(value, item.nbytes)
    return Row(
        name=item.name,
        how="value",
        size="" if shared else volume(item.nbytes),
        origin=item.label,
        what=f"{what}, shares its memory" if shared else what,
        why="a lambda is no def" if what == "lambda" else item.why,
    )
