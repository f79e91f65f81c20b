"""What collection knows of the notebook: a cell and the shell behind it, without IPython."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FunctionType

    from ddp_magic.collect.setup import Setup

__all__ = ["Cell", "Notebook", "is_ipythons"]

_OWN = re.compile(r"In|Out|get_ipython|exit|quit|open|_[iod]h|_i*\d*|__\w*")


def is_ipythons(name: str, space: Mapping[str, Any], hidden: Mapping[str, Any]) -> bool:
    """Whether a name is IPython's own (``In``, ``_``, ``get_ipython`` …) and unchanged.

    What IPython hides from %who is more: all that startup files, exec_lines and %pylab bind.
    """
    return bool(_OWN.fullmatch(name)) and name in hidden and hidden[name] is space.get(name)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The cell that is being run.

    Attributes:
        label: As tracebacks call it: ``Cell In[7]``.
        body: The text below the %%ddp line, as the user wrote it.
        first_line: The line of the cell that the body begins at, counted from 1.
        head: What --trainer puts above the body; it counts as the magic's line.
        anew: Objects (by id) that the head makes anew, each with the attributes that it needs.
        called: Functions of the notebook that these call.
    """

    label: str
    body: str
    first_line: int
    head: str = ""
    anew: Mapping[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    called: tuple[FunctionType, ...] = ()

    @property
    def begins(self) -> int:
        """The line of the cell that head and body begin at."""
        return self.first_line - bool(self.head)

    def headed(self, body: str) -> str:
        """Return what workers run: the body, below the head where there is one."""
        return f"{self.head}\n{body}" if self.head else body


class Notebook(Protocol):
    """The live shell; `shell.py` gives one, and so can a test."""

    @property
    def user_ns(self) -> dict[str, Any]:
        """The notebook's namespace, which is also the kernel's ``__main__.__dict__``."""
        ...

    @property
    def flags(self) -> int:
        """Compiler flags of the session: ``from __future__`` imports that cells have made."""
        ...

    @property
    def setups(self) -> Sequence[Setup]:
        """The %%ddp_setup cells, in the order in which they first ran."""
        ...

    def transform(self, text: str) -> str:
        """Return the Python that IPython makes of a cell's text (magics become calls)."""
        ...

    def label(self, filename: str) -> str | None:
        """Return ``Cell In[3]`` for a code object's file name, None where it is no cell's."""
        ...

    def hidden(self, name: str) -> bool:
        """Whether the name is IPython's own, as `is_ipythons` says."""
        ...
