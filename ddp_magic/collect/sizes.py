"""What large values say for themselves: a note where they went, a refusal where not; in the kernel.

Sizes are what is written: of a view the part that it looks at, of what two names share once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddp_magic.collect.paths import path_to
from ddp_magic.errors import CollectError
from ddp_magic.wording import volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddp_magic.pickling import NoRoom, Part

__all__ = ["Size", "no_room", "told"]

_LARGE = 1_000_000_000
"""Bytes from which it is said what was sent."""
_LONG = 2.0
"""Seconds from which it is said, too."""
_NAMED = 3
"""How many of the largest are named."""
_INSIDE = re.compile(r"\._(?:modules|parameters|buffers)\['(\w+)'\]")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What one name of the notebook adds to what is sent.

    Attributes:
        name: The variable.
        value: What it holds.
        nbytes: All that it adds.
        parts: Arrays and tensors among that.
    """

    name: str
    value: Any
    nbytes: int
    parts: Sequence[Part]

    @property
    def largest(self) -> tuple[str, int]:
        """Return where most of it is, as a path from the variable, and how much that is."""
        part = max(self.parts, key=lambda part: part.view.needed, default=None)
        if part is None or 2 * part.view.needed < self.nbytes or part.owner is self.value:
            return self.name, self.nbytes
        path = path_to(self.name, self.value, part.owner)
        if path is None:
            return self.name, self.nbytes
        return _INSIDE.sub(r".\1", path), part.view.needed


def told(sizes: Sequence[Size], nbytes: int, seconds: float) -> list[str]:
    """Return notes on what was sent, for the user."""
    notes: list[str] = []
    if nbytes >= _LARGE or seconds >= _LONG:
        largest = _largest(sizes, nbytes)
        if len(largest) == 1:
            names = f" of `{largest[0].name}`"
        else:
            each = (f"{volume(size.nbytes)} of `{size.name}`" for size in largest)
            names = f" ({', '.join(each)})" if largest else ""
        took = f"{seconds:.{0 if seconds > 9.9 else 1}f}"
        notes.append(f"sent {volume(nbytes)}{names} in {took} s")
    found = [part for size in sizes for part in size.parts if part.device != "cpu"]
    if found:
        what = "1 tensor" if len(found) == 1 else f"{len(found)} tensors"
        devices = ", ".join(sorted({part.device for part in found}))
        its = "travels" if len(found) == 1 else "travel"
        notes.append(
            f"{what} of {devices} {its} through the CPU: each rank has its own on its own GPU, "
            "or on the CPU where it has none"
        )
    return notes


def no_room(sizes: Sequence[Size], error: NoRoom) -> CollectError:
    """Return the refusal of what would fill the disk or the machine."""
    found = _largest(sizes, error.needed) or sorted(sizes, key=lambda size: -size.nbytes)[:1]
    named = [size.largest for size in found]
    listed = ", ".join(f"`{path}` is {volume(nbytes)}" for path, nbytes in named)
    return CollectError(
        f"The cell uses {volume(error.needed)} of the notebook's data, and {error.place} has "
        f"room for {volume(error.left)}: {listed}. Load it from disk inside the %%ddp cell "
        "(np.memmap shares a file among the ranks), or have more room: set DDP_MAGIC_BLOBS in "
        "os.environ, or TMPDIR before the kernel starts, to another directory."
    )


def _largest(sizes: Sequence[Size], nbytes: int) -> list[Size]:
    """Return those that are a good part of it, the largest first."""
    ordered = sorted(sizes, key=lambda size: -size.nbytes)
    return [size for size in ordered[:_NAMED] if 10 * size.nbytes >= nbytes]
