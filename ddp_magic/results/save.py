"""Runs in rank 0's worker, after success, interrupt and failure: writes what comes back."""

from __future__ import annotations

import contextlib
import reprlib
from json import dumps  # now: the user's program may put another in its place
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ddp_magic.results.notices import left_behind
from ddp_magic.results.writing import Pulse, Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ddp_magic.pickling import Sender
    from ddp_magic.rundir import RunDir

__all__ = ["VALUE", "save"]

VALUE = "<value>"
"""The segment of the cell's last expression; no variable has this name."""
_NAMED_LIMIT = 1 << 40
_VALUE_LIMIT = 64 << 20
_BOUND_LIMIT = 256 << 20
_REPR_LIMIT = 10_000


def save(
    run: RunDir,
    namespace: Mapping[str, Any],
    sender: Sender,
    *,
    outputs: Iterable[str],
    bound: Iterable[str],
    value: tuple[object, ...],
    left: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the named outputs, the cell's value, and what else the cell bound, in that order.

    Args:
        run: The run.
        namespace: The rank's globals, without those that a stopped cell had not reached.
        sender: What this rank and the kernel have in common.
        outputs: Names of -o.
        bound: Names that the cell binds.
        value: The value of its last expression, if it has one and was reached.
        left: What the cell changed of the notebook's own besides, each with a verb.
    """
    saver = _Saver(run, sender)
    saver.write("named", namespace, outputs, _NAMED_LIMIT)
    saver.index |= {"errors": dict(saver.errors), "notices": saver.notices()}
    saver.publish()  # now: what follows may be killed
    if value:
        saver.index["repr"] = _repr(value[0])
        saver.write("value", {VALUE: value[0]}, [VALUE], _VALUE_LIMIT)
    named = saver.index["named"]
    others = [name for name in dict.fromkeys([*bound, *left]) if name not in named]
    saver.write("bound", namespace, others, _BOUND_LIMIT)
    saver.index["notices"] += left_behind(left, saver.index["bound"])
    saver.publish()
    saver.pulse.stop()


class _Saver:
    """Writes one file after the other and remembers what went wrong."""

    def __init__(self, run: RunDir, sender: Sender) -> None:
        self._run = run
        self._sender = sender
        self._unwrapped: set[str] = set()
        self._moved = False
        self.errors: dict[str, str] = {}
        self.index: dict[str, Any] = {}
        self.pulse = Pulse(run)
        self.pulse.beat()

    def write(self, stem: str, values: Mapping[str, Any], names: Iterable[str], limit: int) -> None:
        """Write the file of those names that have a value; note the ones in it, in order."""
        writer = Writer(self._run, stem, self._sender, limit=limit, pulse=self.pulse)
        for name in names:
            if name in values and (why := writer.add(name, values[name])):
                self.errors[name] = why
        self._unwrapped |= writer.unwrapped
        self._moved |= writer.moved
        try:
            writer.close()
        except Exception as error:
            self.errors.update(dict.fromkeys(writer.names, str(error)))
            self.index[stem] = []
            return
        self.index[stem] = writer.names
        self.index[f"{stem} sizes"] = writer.sizes
        self.index[f"{stem} marks"] = writer.marks

    def publish(self) -> None:
        """Write the index, by which the kernel finds what was written so far."""
        part = self._run.results / "index.part"
        with contextlib.suppress(OSError):
            part.touch(0o600)  # it may hold the value's repr
            part.write_text(dumps(self.index), encoding="utf-8")
            part.rename(self._run.results / "index.json")

    def notices(self) -> list[str]:
        """Return what the user should know of what was written so far."""
        found = [f"What came back is the {w}." for w in sorted(self._unwrapped)]
        if self._moved:
            found.append("Tensors of a GPU came back on the CPU.")
        return found


def _repr(value: object) -> str:
    try:
        return repr(value)[:_REPR_LIMIT]
    except Exception as error:
        return f"<{type(value).__name__}, whose repr() raised {reprlib.repr(error)}>"
