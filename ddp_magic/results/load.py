"""Runs in the kernel: reads what rank 0 brought back."""

from __future__ import annotations

import contextlib
import difflib
import sys
from typing import TYPE_CHECKING, Any

from ddp_magic.documents import decoded
from ddp_magic.errors import UserError
from ddp_magic.pickling import BlobReader, Unpickler
from ddp_magic.removal import remove_tree
from ddp_magic.results.reading import Segment, Segments
from ddp_magic.results.save import VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ddp_magic.pickling import Receiver
    from ddp_magic.rundir import RunDir

__all__ = ["Results", "Shown", "load"]


class Shown:
    """Stands in ``Out`` for a value that stays in the worker: draws itself as that did."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class Results:
    """What a run left; readable until the next run.

    Attributes:
        missing: What -o names and did not come, each as ``model: reason``.
        notices: What the user should know of what came.
    """

    def __init__(
        self, run: RunDir, receiver: Receiver, names: Sequence[str], why: Callable[[str], str]
    ) -> None:
        self._run = run
        self._receiver = receiver
        self._index: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._index = decoded((run.results / "index.json").read_bytes())
        self._why = why
        self._forgotten = False
        self.notices: list[str] = list(self._index.get("notices", []))
        self.outputs: dict[str, Any] = self._read("named", only=set(names))
        self.missing = [f"{n}: {self._reason(n)}" for n in names if n not in self.outputs]

    def value(self) -> Any:
        """Return the cell's value, or what its repr() said where that is better; None if none."""
        if "repr" not in self._index:
            return None
        with contextlib.suppress(Exception):
            found = self._read("value", quiet=True)
            if VALUE in found:
                return found[VALUE]
        self.notices.append("Out holds only the text of the value; name it in -o to get it whole.")
        return Shown(self._index["repr"])

    def fetch(self, name: str) -> Any:
        """Return a variable that the cell bound in rank 0.

        Raises:
            UserError: There is none, or it was too large or could not be pickled.
        """
        if name in self.outputs:
            return self.outputs[name]
        if self._forgotten:
            raise UserError(
                f"{name} of {self._run.run_id} cannot be had any more: what -o does not name goes "
                "when the next run begins. Name it in -o next time."
            )
        found = self._read("bound", only={name})
        if name in found:
            return found[name]
        there = sorted({*self._index.get("named", []), *self._index.get("bound", [])})
        close = difflib.get_close_matches(name, there, 1) or there[:5]
        hint = f"There is: {', '.join(close)}." if close else "The last run brought nothing back."
        raise UserError(
            f"The last run did not leave a variable {name or '(name it)'}: the cell did not "
            "bind it, it was too large to keep, or it could not be sent. "
            f"{hint} Name it in -o next time."
        )

    def forget(self) -> None:
        """Keep what -o named and nothing else: the files go."""
        self._forgotten = True
        remove_tree(self._run.results)

    def _read(
        self, stem: str, *, only: set[str] | None = None, quiet: bool = False
    ) -> dict[str, Any]:
        """Read a file's segments up to the last that is wanted."""
        names: list[str] = self._index.get(stem, [])
        wanted = [n for n in names if only is None or n in only]
        if not wanted:
            return {}
        sizes, marks = self._index[f"{stem} sizes"], self._index[f"{stem} marks"]
        listed = zip(names, sizes, marks, strict=True)
        segments = [Segment(name=n, size=size, mark=mark) for n, size, mark in listed]
        kind = _OnlyImported if quiet else Unpickler
        receiver = self._receiver.with_blobs(BlobReader(self._run.results, stem))
        with open(self._run.results / f"{stem}.pkl", "rb") as file:
            reading = Segments(file=file, receiver=receiver, kind=kind)
            reading.read(segments[: names.index(wanted[-1]) + 1])
        self._index.setdefault("errors", {}).update(reading.errors)
        return {n: v for n, v in reading.values.items() if n in wanted}

    def _reason(self, name: str) -> str:
        errors: dict[str, str] = self._index.get("errors", {})
        if name in errors:
            return errors[name]
        if not self._index:
            return "rank 0 ended before it could save"
        return self._why(name)


class _OnlyImported(Unpickler):
    """Refuses to import what the kernel has not: Out must not cost four seconds of torch."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules and not module.startswith("ddp_magic."):
            raise ImportError(module)
        return super().find_class(module, name)


def load(
    run: RunDir,
    receiver: Receiver,
    *,
    names: Sequence[str],
    stores: Collection[str],
    finished: bool,
) -> Results:
    """Read what rank 0 left.

    Args:
        run: The run.
        receiver: How this kernel reads it.
        names: Those of -o.
        stores: Names that the cell binds.
        finished: Whether the cell ran to its end, which decides how a missing name is explained.
    """

    def why(name: str) -> str:
        if not finished:
            return "the cell had not set it yet"
        if name in stores:
            return "the cell ended without setting it"
        return "this cell neither binds nor uses it; the notebook's own is unchanged"

    return Results(run, receiver, names, why)
