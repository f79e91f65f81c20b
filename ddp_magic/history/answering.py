"""Runs in the kernel: %ddp_runs, from its line to what is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ddp_magic.errors import OptionError, PlaceError
from ddp_magic.history.asking import check_side_by_side, parse
from ddp_magic.history.blocks import Words
from ddp_magic.history.choosing import choose
from ddp_magic.history.html import html
from ddp_magic.history.listing import listing
from ddp_magic.history.one import one
from ddp_magic.history.side_by_side import side_by_side
from ddp_magic.history.store import Store, place
from ddp_magic.history.text import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ddp_magic.history import History
    from ddp_magic.history.asking import Asked
    from ddp_magic.history.blocks import Block
    from ddp_magic.history.records import RunRecord
    from ddp_magic.shell import Shell

__all__ = ["answer", "page"]


def answer(line: str, shell: Shell, history: History, *, on: bool) -> None:
    """Do what a %ddp_runs line asks for.

    Args:
        line: The line.
        shell: Where it is shown.
        history: What is still being written is waited for.
        on: Whether runs are being remembered.

    Raises:
        UserError: The line is wrong, or the history cannot be read.
    """
    asked = parse(line)
    history.finish()
    try:
        store = Store(place())
        if asked.delete or asked.clear:
            shell.write(_forget(asked, store))
            return
        blocks = list(page(asked, store, time.time(), on=on))
    except OSError as error:
        raise PlaceError(
            f"The run history cannot be read or written: {error.strerror or error}. "
            "Set XDG_STATE_HOME to a directory of your own."
        ) from None
    if shell.ui == "plain":
        shell.write(text(blocks))
    else:
        shell.show({"text/html": html(blocks), "text/plain": text(blocks)})


def page(asked: Asked, store: Store, now: float, *, on: bool) -> Iterator[Block]:
    """Yield what is shown.

    Args:
        asked: The line.
        store: The history.
        now: The time, seconds since the epoch.
        on: Whether runs are being remembered.
    """
    if asked.numbers:
        runs = [_found(number, store) for number in asked.numbers]
        yield from one(runs[0]) if len(runs) == 1 else side_by_side(runs)
        return
    numbers = store.numbers()
    broken: list[int] = []
    found, count = choose(asked, _newest_first(numbers, store, broken))
    runs = [store.read(run.number) or run for run in found]
    count = len(numbers) - len(broken) if count < 0 else count
    if asked.compare:
        check_side_by_side(len(runs), least=2)
        yield from side_by_side(runs if asked.sort else runs[::-1])
        return
    if runs:
        yield listing(runs, now, asked.sort)
    else:
        yield Words(text="No run fits." if numbers else "No run is remembered yet.")
    yield Words(text=" ".join(_about(len(runs), count, len(broken), store, on=on)), style="faint")


def _about(shown: int, count: int, broken: int, store: Store, *, on: bool) -> Iterator[str]:
    """Yield sentences on what is not shown, and on where all this comes from."""
    if shown < count:
        yield f"{shown} of {count} runs; last={count} shows all."
    if shown > 1:
        yield "%ddp_runs with two numbers compares, with one shows all of that run."
    if broken:
        yield f"{broken} cannot be read."
    state = "" if on else " Runs leave no record now: %ddp_config history=on changes that."
    yield f"Kept in {store.folder}.{state}"


def _newest_first(numbers: Iterable[int], store: Store, broken: list[int]) -> Iterator[RunRecord]:
    for number in sorted(numbers, reverse=True):
        run = store.glance(number)
        if run is None:
            broken.append(number)
        else:
            yield run


def _found(number: int, store: Store) -> RunRecord:
    run = store.read(number)
    if run is None:
        known = store.numbers()
        what = "cannot be read" if number in known else "is not in the history"
        raise OptionError(f"Run {number} {what}. %ddp_runs lists those that are.")
    return run


def _forget(asked: Asked, store: Store) -> str:
    known = set(store.numbers())
    gone = sorted(known if asked.clear else known.intersection(asked.numbers))
    if not gone and not asked.clear:
        raise OptionError("None of these runs is in the history. %ddp_runs lists those that are.")
    store.remove(gone)
    return f"{len(gone)} run{'' if len(gone) == 1 else 's'} deleted from the history.\n"
