"""Definitions -> the files of a run: main.py, body.py, sourcemap.json, program.json; in the kernel.

main.py is what runs in every worker and what spawned DataLoader workers import again. It is made to
be read: imports, literals, definitions in the notebook's own words, and a line for each value that
is loaded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ddp_magic.collect import lines
from ddp_magic.collect.definitions import How
from ddp_magic.documents import encoded
from ddp_magic.futures import future_names
from ddp_magic.sourcemap import COMMENT, Region, SourceMap
from ddp_magic.wording import volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.collect.definitions import Definitions, Item
    from ddp_magic.rundir import RunDir

__all__ = ["write"]


def write(definitions: Definitions, run: RunDir, *, header: Sequence[str]) -> SourceMap:
    """Write the run's module and what belongs to it.

    Args:
        definitions: What was collected.
        run: Where to.
        header: Lines about the run, for the module's head.

    Raises:
        PlaceError: The disk is full.
    """
    page = _render(definitions, header)
    source_map = SourceMap(
        module=run.main.name, regions=tuple(page.regions), texts=definitions.texts
    )
    run.write(run.main, page.text)
    run.write(run.body, definitions.body)
    regions = [vars(region) for region in page.regions]
    run.write(run.source_map, encoded(vars(source_map) | {"regions": regions}))
    run.write(run.program, encoded(_program(definitions, page)))
    return source_map


@dataclass
class _Page:
    """The module while it is being written."""

    regions: list[Region] = field(default_factory=list[Region])
    lines: list[str] = field(default_factory=list[str])
    classes: dict[str, tuple[int, int]] = field(default_factory=dict[str, "tuple[int, int]"])

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def add(self, *new: str) -> None:
        for text in new:
            self.lines.extend(text.rstrip("\n").split("\n"))

    def gap(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def comment(self, text: str) -> None:
        """Add one comment line, whatever a type or an override is called."""
        if not text.isprintable():
            text = "".join(c if c.isprintable() else " " for c in text)
        self.lines.append("# " + text)

    def add_source(self, item: Item) -> None:
        self.gap()
        self.comment(item.label if item.how is How.SOURCE else _origin(item))
        first = len(self.lines) + 1
        self.add(item.text)
        region = Region(
            first=first, last=len(self.lines), label=item.label, cell_first=item.first_line
        )
        self.regions.append(region)
        self.gap()

    def add_class(self, name: str, text: list[str]) -> None:
        first = len(self.lines) + 1
        self.add(*(COMMENT + line for line in text))
        self.classes[name] = (first, len(self.lines))


def _render(definitions: Definitions, header: Sequence[str]) -> _Page:
    page = _Page()
    for text in header:
        page.comment(text)
    page.add("# Written by %%ddp. Definitions are in the notebook's own words where these are what")
    page.add("# is live; take() loads everything else from values.pkl. No cell runs again.")
    page.add(*_futures(definitions.flags), lines.begun())
    at = 0
    for number, item in enumerate(definitions.items, 1):
        if item.how is How.SETUP:
            _add_items(page, definitions.items[at:number])
            at = number
    _add_items(page, definitions.items[at:])
    page.gap()
    page.add('if __name__ == "__main__":', f"    {lines.run()}")
    _add_classes(page, definitions)
    return page


def _add_items(page: _Page, items: Sequence[Item]) -> None:
    """Add what stands between two setup cells: imports and literals, then what depends on them."""
    for how in (How.IMPORT, How.LITERAL):
        page.gap()
        page.add(*(item.text for item in items if item.how is how))
    page.gap()
    for item in items:
        if item.first_line:
            page.add_source(item)
        elif item.how not in (How.IMPORT, How.LITERAL):
            page.comment(_origin(item))
            page.add(item.text)


def _add_classes(page: _Page, definitions: Definitions) -> None:
    if definitions.classes:
        page.add("", "# Classes that were sent by value, for reading (and for inspect.getsource):")
    for name, (label, first, last) in definitions.classes.items():
        text = [definitions.texts[label][n].rstrip("\n") for n in range(first, last + 1)]
        page.comment(label)
        page.add_class(name, text)


def _futures(flags: int) -> list[str]:
    names = future_names(flags)
    return [f"from __future__ import {', '.join(names)}", ""] if names else []


def _origin(item: Item) -> str:
    """Return the comment above a line that is not the user's."""
    if item.how is How.SETUP:
        return f"{item.name}, a %%ddp_setup cell: runs first in every worker and in what it spawns"
    if item.how in (How.FINAL, How.OVERRIDE):
        return item.name
    size = f", {volume(item.nbytes)}" if item.nbytes else ""
    kind = f": {item.kind}{size}" if item.kind else ""
    return f"{item.name}{kind}" + (f", {item.label}" if item.label else "")


def _program(definitions: Definitions, page: _Page) -> dict[str, object]:
    """Return what `worker.program` and `worker.values` need besides the text."""
    arguments = [
        {
            "key": bound.key,
            "name": bound.name,
            "calls": [asdict(call) for call in bound.calls],
        }
        for bound in definitions.overrides
        if bound.kind == "argument"
    ]
    return {
        "label": definitions.cell.label,
        "first_line": definitions.cell.begins,
        "head": definitions.cell.head,
        "flags": definitions.flags,
        "path": definitions.path,
        "argv": definitions.argv,
        "modules": definitions.modules,
        "segments": definitions.segments,
        "sources": list(definitions.objects),
        "classes": page.classes,
        "filenames": definitions.filenames,
        "left_out": definitions.left_out,
        "values": [i.name for i in definitions.items if i.how in (How.VALUE, How.LITERAL)],
        "setups": definitions.setups,
        "arguments": arguments,
    }
