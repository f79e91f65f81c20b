"""What the generated module calls to load values; runs in every worker and in what it spawns.

A spawned DataLoader worker imports the module again and so comes here on its own, without a
`Program`; that is why the readers are kept by the module's file.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from ddp_magic.pickling import BlobReader, Receiver, Unpickler
from ddp_magic.rundir import RunDir

__all__ = ["argument", "begin", "finish", "keep", "kept", "refill", "take"]


class Reader:
    """Gives the values of one run in the order in which the module asks for them."""

    def __init__(self, run: RunDir, namespace: dict[str, Any]) -> None:
        self.about: dict[str, Any] = json.loads(run.program.read_bytes())
        self.arguments: dict[str, Any] = {}
        self._left = iter(self.about["segments"])
        self._file = open(run.values, "rb")  # noqa: SIM115 - until `finish`
        self._blobs = BlobReader(run.blobs)
        # A DataLoader worker of this rank's needs no copy of a model on the GPU, and no CUDA.
        own = multiprocessing.parent_process() is None
        receiver = Receiver(main=namespace, blobs=self._blobs, definitions=namespace, devices=own)
        self._unpickler = Unpickler(self._file, receiver)

    def take(self, key: str) -> Any:
        """Return the next value, which must be this one."""
        found = next(self._left, None)
        assert found == key, f"values.pkl holds {found!r} where the module loads {key!r}"
        try:
            return self._unpickler.load()[0]
        except Exception as error:
            error.add_note(f"%%ddp was loading the notebook's {key} into a worker.")
            raise

    def close(self) -> None:
        """Close the file and let go of all that was read: it is the user's to keep or delete."""
        self._file.close()
        del self._unpickler  # its memo holds every object
        self._blobs.forget()


_readers: dict[str, Reader] = {}


def begin() -> None:
    """Prepare a worker for the module that calls this: search path, arguments, submodules."""
    namespace = _caller()
    run = RunDir(Path(namespace["__file__"]).parent)
    reader = _readers[namespace["__file__"]] = Reader(run, namespace)
    sys.path[:] = reader.about["path"]
    sys.argv[:] = reader.about["argv"]
    importlib.invalidate_caches()
    for name in reader.about["modules"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def take(key: str) -> Any:
    """Return the next value."""
    return _reader().take(key)


def keep(key: str) -> None:
    """Keep the next value for `argument`."""
    reader = _reader()
    reader.arguments[key] = reader.take(key)


def argument(key: str) -> Any:
    """Return what the line gives for a call's argument; stands in the body."""
    return _reader().arguments[key]


def kept(path: str, key: str) -> Any:
    """Return what the module at this path has kept."""
    return _readers[path].arguments[key]


def refill(container: Any, key: str) -> None:
    """Give an imported dict, list or set the content that it has in the notebook."""
    content = _reader().take(key)
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def finish(key: str) -> None:
    """Set random generators and decimal as in the notebook, and close the file."""
    reader = _reader()
    state = reader.take(key)
    reader.close()
    modules: dict[str, Any] = {name: importlib.import_module(name) for name in state}
    if "random" in state:
        modules["random"].setstate(state["random"])
    if "numpy" in state:
        modules["numpy"].random.set_state(state["numpy"])
    if "torch" in state:
        torch = modules["torch"]
        torch.set_rng_state(torch.frombuffer(bytearray(state["torch"]), dtype=torch.uint8))
    if "decimal" in state:
        modules["decimal"].setcontext(state["decimal"])


def _reader() -> Reader:
    return _readers[_caller(2)["__file__"]]


def _caller(depth: int = 1) -> dict[str, Any]:
    """Return the module's globals, which it does not pass: `globals` may mean something else."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        assert frame is not None
        frame = frame.f_back
    assert frame is not None
    return frame.f_globals
