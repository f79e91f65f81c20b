"""Why something of the notebook cannot be sent, in the notebook's terms; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.collect.paths import path_to
from ddp_magic.masking import mask_text
from ddp_magic.pickling import CannotTravel

if TYPE_CHECKING:
    from ddp_magic.collect.segments import WriteError

__all__ = ["explain"]

_LONGEST = 300
"""Characters of an error's own words."""


def explain(name: str, value: Any, error: WriteError, cell: str) -> str:
    """Say in two sentences what cannot be sent, where it is, and what to do.

    Args:
        name: The notebook's variable.
        value: What it holds.
        error: What went wrong with it.
        cell: The cell that it was assigned in, or an empty string.
    """
    found = path_to(name, value, error.culprit)
    path = mask_text(found or name)
    where = f"{name} was assigned in {cell}" if cell and path != name else f"assigned in {cell}"
    subject = path + (f" ({where})" if cell else "")
    verb = "is" if found else "holds"
    cause = error.cause
    if isinstance(cause, CannotTravel):
        return f"{subject} {verb} {cause.what}, {cause.why}. {cause.remedy}."
    if isinstance(cause, RecursionError):
        return (
            f"{subject} is nested more deeply than Python's recursion limit lets it be pickled. "
            "Raise that by sys.setrecursionlimit() in a cell above."
        )
    kind = type(error.culprit)
    if _is_pickles_own(cause):
        return (
            f"{subject} {verb} {_article(_full(kind))}, which cannot be pickled. "
            "Make it inside the %%ddp cell."
        )
    reason = mask_text(" ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(".: "))
    own = kind.__module__ == "__main__"
    remedy = f", or say in {kind.__qualname__}.__reduce__ how it is made anew" if own else ""
    return (
        f"{subject} {verb} {_article(_full(kind))}, and pickling it fails ({_cut(reason)}). "
        f"Make it inside the %%ddp cell{remedy}."
    )


def _is_pickles_own(cause: Exception) -> bool:
    """Whether the error says no more than that a type has no way to be pickled."""
    return isinstance(cause, TypeError) and str(cause).startswith("cannot pickle '")


def _full(kind: type) -> str:
    plain = kind.__module__ in ("__main__", "builtins")
    return kind.__qualname__ if plain else f"{kind.__module__.lstrip('_')}.{kind.__qualname__}"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " …"
