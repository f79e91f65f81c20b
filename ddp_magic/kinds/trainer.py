"""What --trainer comes to: the lines that it stands for, and what they take; in the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import OptionError, OverrideError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import FunctionType

    from ddp_magic.collect.notebook import Cell
    from ddp_magic.line.parameters import Parameters
    from ddp_magic.overrides import Bound

__all__ = ["Trainer"]


def _takes_all(*_: object) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A class, factory or instance of the notebook, as --trainer names it.

    Attributes:
        head: The statements, in one line: ``trainer = MyTrainer(); trainer.train()``.
        calls: What they call, by path, with its parameters, as far as these can be known.
        anew: Objects (by id) that they make anew, each with the attributes that it needs.
        called: Functions of the notebook that these call.
        check: Refuses settings that its kind does not take, with so many ranks and with GPUs or
            without.
        stays: Why it cannot come back whole; empty where it may.
    """

    head: str
    calls: dict[str, Parameters]
    anew: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    called: tuple[FunctionType, ...] = ()
    check: Callable[[Sequence[Bound], int, bool], None] = _takes_all
    stays: str = ""

    def headed(self, cell: Cell) -> Cell:
        """Return the cell below these statements."""
        return replace(cell, head=self.head, anew=self.anew, called=self.called)

    def require_complete(self, bound: Sequence[Bound]) -> None:
        """Refuse a call that leaves out what it needs.

        Raises:
            OverrideError: Says which parameters, and how to give them.
        """
        given = {each.target for each in bound}
        for path, parameters in self.calls.items():
            missing = [n for n in parameters.needed if f"{path}({n})" not in given]
            if missing:
                example = " ".join(f"{name}=..." for name in missing)
                raise OverrideError(
                    f"{path}() needs {' and '.join(missing)}, and the line gives "
                    f"{'it no value' if len(missing) == 1 else 'them no values'}. "
                    f"Write {example} on the line ({missing[0]}={{...}} for an object of the "
                    "notebook), or give a default."
                )

    def require_plain(self, outputs: Collection[str]) -> None:
        """Refuse an -o of the trainer itself where it is bound to its rank.

        Raises:
            OptionError: Says what to write instead.
        """
        if self.stays and "trainer" in outputs:
            raise OptionError(
                f"-o trainer: {self.stays}. Take what you need of it in the cell, as in "
                "best = trainer.best, and write -o best."
            )
