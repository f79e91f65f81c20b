"""What setup cells see of IPython; runs in the kernel."""

from __future__ import annotations

from typing import Protocol

from ddp_magic.collect.notebook import Notebook

__all__ = ["Execution", "Front", "Result"]


class Execution(Protocol):
    """What IPython tells before a cell runs."""

    raw_cell: str
    cell_id: str | None


class Result(Protocol):
    """What IPython tells after a cell has run."""

    info: Execution

    @property
    def success(self) -> bool:
        """Whether no error was raised."""
        ...


class Front(Notebook, Protocol):
    """The notebook, and where to say something below the cell."""

    def write(self, text: str, *, stderr: bool = False) -> None:
        """Write plain text."""
        ...
