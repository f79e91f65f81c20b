"""Runs in rank 0's worker: pickles results one by one, so that one failure costs one name."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from typing import TYPE_CHECKING, Any

from ddp_magic.errors import PlaceError
from ddp_magic.pickling import BlobWriter, CannotTravel, Draft, Pickler, rebuild, write_all
from ddp_magic.typenames import type_name

if TYPE_CHECKING:
    from pathlib import Path

    from ddp_magic.pickling import Sender
    from ddp_magic.rundir import RunDir

__all__ = ["Pulse", "Writer"]

_WRAPPERS = {
    "torch.nn.parallel.distributed.DistributedDataParallel": ("module", "module"),
    "torch._dynamo.eval_frame.OptimizedModule": ("module", "_orig_mod"),
    "lightning.fabric.wrappers._FabricModule": ("module", "_forward_module"),
    "lightning_fabric.wrappers._FabricModule": ("module", "_forward_module"),
    "lightning.fabric.wrappers._FabricOptimizer": ("optimizer", "_optimizer"),
    "lightning_fabric.wrappers._FabricOptimizer": ("optimizer", "_optimizer"),
}
_SHARDED = (
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel",
    "torch.distributed.fsdp._fully_shard._fully_shard.FSDPModule",
    "torch.distributed.tensor.DTensor",
    "torch.distributed.tensor._api.DTensor",
)


class Pulse:
    """A file that is touched while results are pickled, which may take long and write nothing.

    By its time the guard sees that rank 0 is at work, and lets it go on past a deadline.
    """

    def __init__(self, run: RunDir) -> None:
        self._path = run.results / "saving"
        self._last = 0.0

    def beat(self) -> None:
        """Touch the file, twice a second at most."""
        now = time.monotonic()
        if now - self._last > 0.5:
            self._last = now
            with contextlib.suppress(OSError):
                self._path.touch(0o600)

    def stop(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)


class Writer:
    """Writes segments with one memo: what is one object in the worker is one in the notebook.

    Attributes:
        names: What each segment holds, in order.
        unwrapped: What came without its wrapper, as ``module inside DistributedDataParallel``.
        moved: Whether tensors of a GPU were among them, which arrive on the CPU.
        marks: How many objects the memo holds after each segment.
    """

    def __init__(self, run: RunDir, stem: str, sender: Sender, *, limit: int, pulse: Pulse) -> None:
        self._run = run
        self._stem = stem
        self._pulse = pulse
        self._blobs = BlobWriter(run, run.results, prefix=stem)
        self._limit = limit
        self._sender = sender.with_blobs(self._blobs)
        self._memo: dict[int, tuple[int, Any]] = {}
        self._drafts: list[Draft] = []
        self.names: list[str] = []
        self.marks: list[int] = []
        self.unwrapped: set[str] = set()
        self.moved = False

    @property
    def sizes(self) -> list[int]:
        """What each segment takes in its file."""
        return [d.nbytes for d in self._drafts]

    @property
    def _too_large(self) -> str:
        return f"it is larger than the {self._limit >> 20} MB that are kept"

    def add(self, name: str, value: object) -> str:
        """Add a segment; return why it could not be, or an empty text."""
        draft = _Limited(self._limit - sum(self.sizes))
        pickler = _ResultPickler(draft, self._sender, self._pulse)
        pickler.memo = self._memo
        try:
            pickler.dump(value)
        except BaseException as error:  # of a __reduce__ of the user's, even sys.exit()
            if draft.is_full:
                return self._too_large
            # cloudpickle makes a PicklingError of it
            if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
                return "it is nested too deeply to be pickled"
            return _said(error)
        nbytes = sum(self.sizes) + draft.nbytes + self._blobs.nbytes(pickler.parts)
        if nbytes > self._limit:
            return self._too_large
        self._blobs.keep(pickler.parts)
        self._memo = pickler.memo.copy()
        self._drafts.append(draft)
        self.names.append(name)
        self.marks.append(len(self._memo))
        self.unwrapped |= pickler.unwrapped
        self.moved |= any(part.device != "cpu" for part in pickler.parts.found.values())
        return ""

    def close(self) -> None:
        """Write the file.

        Raises:
            PlaceError: The disk is full, or would be.
        """
        self._blobs.close(sum(self.sizes))
        part: Path = self._run.results / f"{self._stem}.part"
        with self._run.creating(part) as fd:
            for draft in self._drafts:
                for chunk in draft.chunks:
                    write_all(fd, memoryview(chunk))
        part.rename(self._run.results / f"{self._stem}.pkl")


class _Limited(Draft):
    """Ends pickling when there would be too much, before that fills the memory."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    @property
    def is_full(self) -> bool:
        """Whether more was written than it may hold."""
        return self.nbytes > self._limit

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take a piece in."""
        size = super().write(data)
        if self.is_full:
            raise MemoryError(f"more than {self._limit} bytes")
        return size


class _ResultPickler(Pickler):
    """The common pickler, which leaves wrappers of distributed training behind."""

    def __init__(self, file: Draft, sender: Sender, pulse: Pulse) -> None:
        super().__init__(file, sender)
        self._pulse = pulse
        self.unwrapped: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        self._pulse.beat()
        for kind in type(obj).__mro__:
            name = type_name(kind)
            if name in _WRAPPERS:
                what, inside = _WRAPPERS[name]
                self.unwrapped.add(f"{what} inside {kind.__qualname__.lstrip('_')}")
                return rebuild.itself, (getattr(obj, inside),)
            if name in _SHARDED:
                raise pickle.PicklingError(
                    f"rank 0 holds only its shard of a {kind.__qualname__}; gather it in the cell "
                    "with torch.distributed.checkpoint.state_dict.get_model_state_dict("
                    "model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
                )
        return super().reducer_override(obj)


def _said(error: BaseException) -> str:
    """Return one line; these types speak in whole sentences."""
    if isinstance(error, CannotTravel):  # its remedy is one for the way into the worker
        return f"{error.what} cannot be sent to another process"
    plain = isinstance(error, (TypeError, pickle.PicklingError, PlaceError))
    name = type(error).__name__
    try:
        text = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # it is the user's own __str__
        return name
    return text if plain and text else f"{name}: {text}".rstrip(": ")
