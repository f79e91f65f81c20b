"""Runs in rank 0's worker: what to say of values that a run changed and left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["left_behind"]

_MOST = 4
"""How many names the sentence has."""


def left_behind(left: Mapping[str, str], kept: Collection[str]) -> list[str]:
    """Return a sentence on the notebook's values that are other ones in rank 0, or none.

    Args:
        left: Names, each with a verb: ``trained``, ``changed``.
        kept: Names that can be fetched after the run.
    """
    if not left:
        return []
    names = [*left][:_MOST]
    verbs = {verb: [n for n in names if left[n] == verb] for verb in sorted({*left.values()})[::-1]}
    did = " and ".join(f"{verb} {_listed(named)}" for verb, named in verbs.items() if named)
    more = f", and {len(left) - _MOST} more" if len(left) > _MOST else ""
    are = "it is" if len(left) == 1 else "they are"
    remedy = f"Add -o {','.join(names)} next time"
    if all(name in kept for name in names):
        fetch = f"%ddp_output {names[0]} fetches {'it' if len(names) == 1 else 'one'} now"
        remedy = f"{remedy}; {fetch}"
    return [f"Rank 0 {did}{more}, and here {are} as before. {remedy}."]


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
