"""Objects <-> files between the kernel and the workers, both ways; imported by both.

A subclass of cloudpickle's pickler that keeps what a notebook means: functions go on sharing the
one namespace, closures go on sharing their cells, definitions that the other side has by source
are named instead of copied, classes that it knows stay the classes it knows, and large buffers
travel as files that every receiver maps copy-on-write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.pickling.blobs import BlobWriter, write_all
from ddp_magic.pickling.loans import BlobReader
from ddp_magic.pickling.parts import Part, Parts
from ddp_magic.pickling.pickler import Pickler, Unpickler
from ddp_magic.pickling.refusals import CannotTravel
from ddp_magic.pickling.room import NoRoom
from ddp_magic.pickling.sides import Draft, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from ddp_magic.rundir import RunDir

__all__ = [
    "BlobReader",
    "BlobWriter",
    "CannotTravel",
    "Draft",
    "NoRoom",
    "Part",
    "Parts",
    "Pickler",
    "Receiver",
    "Sender",
    "Unpickler",
    "dump",
    "load",
    "write_all",
]


def dump(value: Any, path: Path, run: RunDir, sender: Sender) -> None:
    """Write one value to a new private file of the run, its large buffers beside it.

    Args:
        value: What to write.
        path: A file in a directory of the run that does not exist yet.
        run: The run that the file belongs to.
        sender: What this process and the receiver have in common; its blobs are not used.

    Raises:
        CannotTravel: It holds something that another process cannot have.
        PlaceError: The disk is full.
    """
    blobs = BlobWriter(run, path.parent, prefix=path.stem)
    draft = Draft()
    pickler = Pickler(draft, sender.with_blobs(blobs))
    pickler.dump(value)
    blobs.keep(pickler.parts)
    blobs.close(draft.nbytes)
    with run.creating(path) as fd:
        for chunk in draft.chunks:
            write_all(fd, memoryview(chunk))


def load(path: Path, receiver: Receiver) -> Any:
    """Read what `dump` wrote; the blobs are looked for beside the file."""
    with open(path, "rb") as file:
        return Unpickler(file, receiver.with_blobs(BlobReader(path.parent, path.stem))).load()
