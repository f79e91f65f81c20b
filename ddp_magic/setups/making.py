"""What a setup cell has made, seen by comparing the notebook before and after; in the kernel."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.setup import Setup, is_shared, live

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddp_magic.collect.body import Body
    from ddp_magic.collect.notebook import Cell

__all__ = ["made", "still"]

_HISTORY = re.compile(r"_+|_i+|_i?\d+|_oh|_dh|_ih|In|Out|exit|quit|get_ipython")
_ABSENT = object()


def made(
    cell: Cell,
    body: Body,
    filename: str,
    *,
    before: Mapping[str, Any],
    after: dict[str, Any],
    kept: Iterable[Setup],
    earlier: Setup | None,
) -> Setup:
    """Return the cell with what it has made.

    Args:
        cell: The cell.
        body: That, parsed.
        filename: The file name of its code.
        before: The notebook's names when it began.
        after: The namespace, in which it has run.
        kept: The setup cells.
        earlier: The one of these that it replaces.
    """
    changed = {n for n, value in after.items() if before.get(n, _ABSENT) is not value}
    binds = {n for n in changed | body.stores if n in after and not _HISTORY.fullmatch(n)}
    setup = Setup(
        cell=cell,
        body=body,
        filename=filename,
        binds=frozenset(binds),
        own={name: after[name] for name in binds},
        fresh={},
        before=_read_first(binds & body.reads, before, kept, earlier),
    )
    known = set(map(id, before.values()))
    known -= set(map(id, earlier.fresh.values())) if earlier else set[int]()
    found = {path: live(path, after) for path in (*sorted(binds), *setup.paths)}
    fresh = {p: v for p, v in found.items() if id(v) not in known and not is_shared(v)}
    return still(replace(setup, fresh=fresh), after)


def still(setup: Setup, space: dict[str, Any]) -> Setup:
    """Return the cell without what the notebook has bound to something else since."""
    own = {n: v for n, v in setup.own.items() if n in space and space[n] is v}
    fresh = {path: v for path, v in setup.fresh.items() if live(path, space) is v}
    return replace(setup, own=own, fresh=fresh)


def _read_first(
    names: set[str], before: Mapping[str, Any], kept: Iterable[Setup], earlier: Setup | None
) -> dict[str, Any]:
    """Return what the cell read and then bound itself, as no setup cell had made it."""
    found: dict[str, Any] = {}
    for name in names & before.keys():
        makers = [setup for setup in kept if setup.own.get(name, _ABSENT) is before[name]]
        if not makers:
            found[name] = before[name]
        elif earlier in makers and earlier and name in earlier.before:
            found[name] = earlier.before[name]
    return found
