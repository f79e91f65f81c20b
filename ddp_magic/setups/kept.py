"""The setup cells of one notebook: kept as they run, listed and dropped; runs in the kernel."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.notebook import Cell
from ddp_magic.collect.setup import read_setup
from ddp_magic.errors import OptionError, UserError
from ddp_magic.setups.making import made, still
from ddp_magic.setups.text import (
    below,
    commented,
    filename,
    listed,
    opening,
    rest,
    said_somewhere,
    seeds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ddp_magic.collect.setup import Setup
    from ddp_magic.setups.front import Execution, Front, Result

__all__ = ["Setups"]

_MARK = "%%ddp_setup"
"""Stands among what `%reset` clears; no name, so nothing else sees it."""
_aside = ContextVar("aside", default=False)


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A setup cell that is running, and what the notebook held before."""

    cell: Cell
    text: str
    space: dict[str, Any]


class Setups:
    """The kept setup cells of one notebook.

    Args:
        front: The notebook.
        transform: What IPython does with the text of a cell.
        resettable: A dict that `%reset` clears, as `shell.user_ns_hidden`.
    """

    def __init__(
        self, front: Front, transform: Callable[[str], str], resettable: dict[str, Any]
    ) -> None:
        self._front = front
        self._transform = transform
        self._resettable = resettable
        self._kept: dict[str, Setup] = {}
        self._running: dict[str, _Begun] = {}

    @property
    def kept(self) -> tuple[Setup, ...]:
        """The cells that workers run first, in the order in which they first ran."""
        self._prune()
        return tuple(self._kept.values())

    def close(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._resettable.pop(_MARK, None)

    # -- while a cell runs -----------------------------------------------------------------------

    @contextmanager
    def aside(self) -> Generator[None]:
        """Leave magic lines alone: what is transformed in here is a part of a cell."""
        token = _aside.set(True)
        try:
            yield
        finally:
            _aside.reset(token)

    def as_ordinary(self, lines: list[str]) -> list[str]:
        """Make a comment of the magic line, if nothing speaks against running the cell."""
        at = opening(lines)
        if at is None or _aside.get():
            return lines
        cell = Cell(label="Cell", body="".join(lines[at + 1 :]), first_line=at + 2)
        try:
            self.check(rest(lines[at]), cell)
        except UserError:
            return lines[at:]  # to the cell magic, which says so
        except SyntaxError:
            pass  # IPython says so, in the cell's terms
        return commented(lines, at)

    def check(self, line: str, cell: Cell) -> None:
        """Refuse what cannot be a setup cell.

        Args:
            line: What stands behind ``%%ddp_setup``.
            cell: The cell.

        Raises:
            UserError: It cannot be one.
            SyntaxError: It is not Python.
        """
        if line.strip() and not line.lstrip().startswith("#"):
            raise OptionError(
                f"%%ddp_setup takes nothing but a comment, and not {line.strip()!r}. "
                "Write the code below that line."
            )
        read_setup(cell, self._front)

    def begin(self, info: Execution) -> None:
        """Remember what the notebook holds when a setup cell begins."""
        if opening((info.raw_cell or "").splitlines()) is None:
            return
        text = self._transform(info.raw_cell)
        found = below(text)
        if found is not None:
            cell = Cell(label="", body=found[0], first_line=found[1])
            self._prune()
            space = dict(self._front.user_ns)
            self._running[info.raw_cell] = _Begun(cell=cell, text=text, space=space)

    def end(self, result: Result | None) -> None:
        """Keep a setup cell that has succeeded; see what other cells have done to kept ones."""
        if result is None or not result.info.raw_cell:
            return
        info = result.info
        begun = self._running.pop(info.raw_cell, None)
        if self._kept and _MARK not in self._resettable:
            self._forget_all()
        if begun is not None and result.success:
            self._keep(begun, getattr(info, "cell_id", None))
        elif opening(info.raw_cell.splitlines()) is not None:
            self._say_failed(info, ran=begun is not None)
        else:
            self._note_other(info)

    def _keep(self, begun: _Begun, cell_id: str | None) -> None:
        name = filename(begun.text, self._front.label)
        cell = replace(begun.cell, label=self._front.label(name) or "Cell")
        key = cell_id or cell.body.strip()
        earlier = self._kept.get(key)
        self._kept[key] = made(
            cell,
            read_setup(cell, self._front),
            name,
            before=begun.space,
            after=self._front.user_ns,
            kept=tuple(self._kept.values()),
            earlier=earlier,
        )
        self._resettable[_MARK] = None
        self._prune()
        if cell_id is None and earlier is None and len(self._kept) > 1:
            drop = next(iter(self._kept.values())).number
            labels = listed(self._labels)
            self._say(f"workers run {labels} first. %ddp_setup --clear {drop} drops one.")

    def _prune(self) -> None:
        space = self._front.user_ns
        self._kept = {key: still(setup, space) for key, setup in self._kept.items()}

    def _note_other(self, info: Execution) -> None:
        self._kept.pop(getattr(info, "cell_id", None) or "", None)  # its magic line was removed
        if said_somewhere(info.raw_cell) and not any(
            setup.cell.body.strip() in info.raw_cell for setup in self._kept.values()
        ):
            self._say("write it as the cell's first line. The workers do not run this cell.")
        self._prune()
        if self._kept and seeds(info.raw_cell, self._transform):
            self._kept = {k: replace(setup, seeds=False) for k, setup in self._kept.items()}

    def _say_failed(self, info: Execution, *, ran: bool) -> None:
        lines = info.raw_cell.splitlines(keepends=True)
        body = "".join(lines[(opening(lines) or 0) + 1 :]).strip()
        earlier = self._kept.get(getattr(info, "cell_id", None) or body)
        if earlier:
            label, drop = earlier.cell.label, f"%ddp_setup --clear {earlier.number}"
            failed = "failed here and is" if ran else "is"
            self._say(
                f"this version {failed} not kept; workers go on running that of {label} first. "
                f"{drop} drops that."
            )
        elif ran:
            self._say("the cell failed here, so the workers do not run it. Mend it, run it again.")

    def _forget_all(self) -> None:
        labels = listed(self._labels)
        self._kept.clear()
        self._say(f"%reset has dropped {labels}. Run what the workers still need again.")

    def _say(self, text: str) -> None:
        self._front.write(f"%%ddp_setup: {text}\n", stderr=True)

    @property
    def _labels(self) -> list[str]:
        return [setup.cell.label for setup in self._kept.values()]

    # -- %ddp_setup -------------------------------------------------------------------------------

    def manage(self, line: str) -> str:
        """List the cells, or drop one or all.

        Args:
            line: Empty, ``--clear`` or ``--clear 4``.

        Raises:
            OptionError: It is something else.
        """
        option, _, which = line.strip().partition(" ")
        which = which.strip().removeprefix("Cell ").removeprefix("In[").removesuffix("]")
        if option not in ("", "--clear"):
            raise OptionError(
                f"%ddp_setup {line.strip()}: there is no such option. Write %ddp_setup to list the "
                "setup cells, %ddp_setup --clear to drop them all, --clear 4 to drop Cell In[4]."
            )
        chosen = {key: setup for key, setup in self._kept.items() if which in ("", setup.number)}
        if which and not chosen:
            there = listed(self._labels) or "none"
            raise OptionError(f"Cell In[{which}] is no setup cell that is kept. There is: {there}.")
        if not option:
            return "\n".join(self._described()) + "\n"
        self._kept = {key: setup for key, setup in self._kept.items() if key not in chosen}
        dropped = listed([setup.cell.label for setup in chosen.values()])
        return f"Dropped: {dropped or 'nothing, there was no setup cell'}.\n"

    def _described(self) -> Iterator[str]:
        if not self._kept:
            yield "No setup cell is kept. One that begins with %%ddp_setup runs first in each rank."
        for setup in self.kept:
            first = next(filter(None, map(str.strip, setup.cell.body.split("\n"))), "")
            shown = first if len(first) <= 60 else f"{first[:59]}…"
            names = ", ".join(sorted(setup.own))
            yield f"{setup.cell.label}: {shown}" + (f"  (makes {names})" if names else "")
