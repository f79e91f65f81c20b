"""What collection finds, as frozen values: made by `Collector`, written by `script`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ddp_magic.pickling import Receiver

if TYPE_CHECKING:
    import ast

    from ddp_magic.collect.notebook import Cell
    from ddp_magic.overrides import Bound

__all__ = ["Definitions", "How", "Item", "Reached"]


class How(StrEnum):
    """How a name gets into the workers."""

    IMPORT = "import"
    LITERAL = "literal"
    SOURCE = "source"
    SETUP = "setup"
    """A %%ddp_setup cell, which runs again in each worker."""
    VALUE = "value"
    STATE = "state"
    """A library's attribute that the notebook has set, by its live value."""
    CALL = "call"
    """A configuring call of the notebook, as ``np.set_printoptions(precision=2)``."""
    OVERRIDE = "override"
    """A value of the %%ddp line."""
    FINAL = "final"
    """State that is set when all else is there: random generators."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing of the generated module."""

    name: str
    how: How
    text: str
    """Its lines in the module."""
    label: str = ""
    """The cell that it comes from, as ``Cell In[3]``; empty where none is known."""
    first_line: int = 0
    """The cell's line that `text` begins at, for `How.SOURCE`."""
    kind: str = ""
    """Its type, for people."""
    nbytes: int = 0
    """What it takes in files, for `How.VALUE` and `How.STATE`."""
    why: str = ""
    """Why a function or class does not go by source."""
    shown: str = ""
    """`text` for people, where that fetches a key: ``lib.set_api_key('***')``."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What the cell reaches before overrides are applied."""

    names: frozenset[str]
    """Notebook globals that the body or collected code reads."""
    tree: ast.Module
    """The body; its line numbers are the cell's."""
    stores: frozenset[str]
    """Names that the body binds at top level."""


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """All that the workers need besides the body; the values lie in the run's directory."""

    cell: Cell
    body: str
    """The body's text; its first line is the cell's line ``cell.first_line``."""
    items: tuple[Item, ...]
    """In the order in which the module must have them."""
    overrides: tuple[Bound, ...]
    texts: dict[str, dict[int, str]]
    """Per cell label, the lines of what was collected, by number."""
    classes: dict[str, tuple[str, int, int]]
    """Classes by value: where their text stands (label, first and last line), by name."""
    filenames: dict[str, str]
    """The kernel's own file name of each label."""
    flags: int
    """The session's ``__future__`` flags."""
    path: tuple[str, ...]
    """The notebook's ``sys.path``, absolute."""
    argv: tuple[str, ...]
    """The notebook's ``sys.argv``."""
    segments: tuple[str, ...]
    """What each pickle in `values.pkl` holds, in order."""
    modules: tuple[str, ...]
    """Submodules that code reaches as attributes and that must be imported."""
    left_out: dict[str, str]
    """Names that only unreached code reads and that cannot be sent, each with the reason."""
    notes: tuple[str, ...]
    """Sentences that the user should see before the run."""
    setups: tuple[str, ...] = ()
    """The %%ddp_setup cells, in the order in which they run in a worker."""
    process: tuple[str, ...] = ()
    """What the last segment restores: random generators, by their libraries; `decimal`."""
    packages: frozenset[str] = frozenset()
    """Top-level packages that the workers import, also for the types of values."""
    environ: frozenset[str] = frozenset()
    """Environment variables that the code sets."""
    objects: dict[str, Any] = field(repr=False)
    """The kernel's own functions and classes that went by source, by name."""

    def receiver(self, main: dict[str, Any]) -> Receiver:
        """Return how this kernel reads what a worker sends back.

        Classes and functions come back as the notebook's own objects of the time of collection,
        even if their cell was run again meanwhile.
        """
        return Receiver(main=main, definitions=self.objects)
