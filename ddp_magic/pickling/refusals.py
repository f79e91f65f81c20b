"""What cannot be in another process, and what to do instead; runs in kernel and workers."""

from __future__ import annotations

import io
import sys
import threading
import types
from typing import Any

from ddp_magic.typenames import entry

__all__ = ["CannotTravel", "check", "may_be_refused"]

_HERE = "Make it inside the %%ddp cell"
_OPEN = "Open it inside the %%ddp cell"

_REFUSED = {
    "asyncio.events.AbstractEventLoop": ("an event loop", "Await inside the %%ddp cell instead"),
    "builtins.frame": ("a frame", _HERE),
    "builtins.traceback": ("a traceback", "Keep its text instead"),
    "_asyncio.Task": ("an asyncio task", _HERE),
    "_asyncio.Future": ("an asyncio future", _HERE),
    "sqlite3.Connection": ("a database connection", _OPEN),
    "sqlite3.Cursor": ("a database cursor", _OPEN),
    "socket.socket": ("a socket", _OPEN),
    "_socket.socket": ("a socket", _OPEN),
    "subprocess.Popen": ("a running process", _HERE),
    "multiprocessing.process.BaseProcess": ("a process", _HERE),
    "multiprocessing.pool.Pool": ("a pool of processes", _HERE),
    "concurrent.futures._base.Executor": ("an executor with its threads or processes", _HERE),
    "multiprocessing.queues.Queue": ("a queue of this kernel's child processes", _HERE),
    "multiprocessing.queues.SimpleQueue": ("a queue of this kernel's child processes", _HERE),
    "multiprocessing.synchronize.SemLock": ("a lock of this kernel's child processes", _HERE),
    "multiprocessing.connection._ConnectionBase": ("a connection between processes", _OPEN),
    "multiprocessing.managers.BaseManager": ("a manager's process", _HERE),
    "mmap.mmap": ("a mapped file", _OPEN),
    "ctypes.CDLL": ("a loaded library", "Load it inside the %%ddp cell"),
    "threading.Thread": ("a thread", _HERE),
    "_thread._local": ("thread-local storage", _HERE),
    "torch.utils.data.dataloader._BaseDataLoaderIter": (
        "an iterator of a DataLoader",
        "Call iter() on the DataLoader inside the %%ddp cell",
    ),
    "torch.nn.parallel.distributed.DistributedDataParallel": (
        "a DistributedDataParallel model of this kernel's process group",
        "Wrap the model inside the %%ddp cell",
    ),
    "torch.distributed.ProcessGroup": ("a process group", _HERE),
    "torch._C._distributed_c10d.ProcessGroup": ("a process group", _HERE),
    "torch.distributed.distributed_c10d.Store": ("a store of this kernel's process group", _HERE),
    "torch.distributed.tensor.DTensor": ("a DTensor", "Gather it with full_tensor() first"),
    "torch.Stream": ("a device stream", _HERE),
    "torch.cuda.streams.Stream": ("a CUDA stream", _HERE),
    "torch.cuda.streams.Event": ("a CUDA event", _HERE),
    "ultralytics.engine.trainer.BaseTrainer": (
        "an Ultralytics trainer of one process",
        "Name it behind --trainer, or make it in the %%ddp cell and take what you need of it",
    ),
    "torch.jit._script.ScriptModule": (
        "a scripted module",
        "Script it inside the %%ddp cell, or save it with torch.jit.save and load it there",
    ),
}


_STARTED = {
    types.GeneratorType: ("a generator", "Call"),
    types.AsyncGeneratorType: ("an async generator", "Call"),
    types.CoroutineType: ("a coroutine", "Await"),
}


class CannotTravel(TypeError):
    """An object that no other process can have.

    Attributes:
        what: As ``an open file ('out.txt')``.
        remedy: What to do, a sentence without its full stop.
        culprit: The object itself, so that its place can be looked for.
        why: Why not, a clause behind `what`.
    """

    def __init__(
        self, what: str, remedy: str, culprit: object, why: str = "which no worker can have"
    ) -> None:
        super().__init__(f"{what} cannot be sent to another process. {remedy}.")
        self.what = what
        self.remedy = remedy
        self.culprit = culprit
        self.why = why


def check(obj: Any) -> None:
    """Refuse what cannot be in another process.

    Raises:
        CannotTravel: It cannot.
    """
    if type(obj) in _STARTED:
        raise CannotTravel(*_started(obj), obj)
    found = entry(_REFUSED, type(obj))
    if found:
        what, remedy = found
        kind = type(obj).__name__
        exact = "" if kind.startswith("_") or kind.lower() in what.lower() else f" ({kind})"
        raise CannotTravel(what + exact, remedy, obj)
    if isinstance(obj, io.IOBase):
        _check_file(obj)
    elif type(obj) is _LOCK:
        if obj.locked():
            raise CannotTravel("a lock that is held", "Release it first, or " + _lower(_HERE), obj)
    elif type(obj) is _RLOCK and "count=0" not in repr(obj):
        raise CannotTravel("an RLock that is held", "Release it first, or " + _lower(_HERE), obj)


def _started(obj: Any) -> tuple[str, str]:
    """Say what a generator or coroutine is of."""
    what, verb = _STARTED[type(obj)]
    if obj.__name__ == "<genexpr>":
        return f"{what} expression", _HERE + ", or send a list of what it gives"
    return f"{what} of {obj.__name__}()", f"{verb} {obj.__name__}() inside the %%ddp cell"


def _check_file(file: io.IOBase) -> None:
    own = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if isinstance(file, (io.StringIO, io.BytesIO)) or file in own:
        return
    state = "a closed file" if file.closed else "an open file"
    name = getattr(file, "name", None)
    what = f"{state} ({type(file).__name__} of {name!r})" if isinstance(name, str) else state
    raise CannotTravel(what, _OPEN, file)


def may_be_refused(kind: type) -> bool:
    """Whether `check` can refuse an object of this type."""
    return (
        kind in (_LOCK, _RLOCK, *_STARTED)
        or issubclass(kind, io.IOBase)
        or entry(_REFUSED, kind) is not None
    )


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


_LOCK = type(threading.Lock())
_RLOCK = type(threading.RLock())
