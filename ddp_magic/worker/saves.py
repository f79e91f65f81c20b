"""Which files notebook code has torch.save write; runs in every worker.

Several ranks that write one file leave a broken one now and then, and no error. Only `torch.save`
is watched. An audit hook would see every file, but doubles the time of copy.deepcopy() and is
compiled by Dynamo; in place of `open` it would stand in the user's tracebacks.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from json import dumps  # now: the user's program may put another in its place
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

from ddp_magic.sourcemap import CELL

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType, ModuleType

__all__ = ["Saves"]

_MODULE = "torch.serialization"
_WRITER = "_open_zipfile_writer_file"
_MOST = 200
"""How many files of a run are noted."""


class Saves:
    """Notes each file once, at the moment at which it is opened.

    Stands as the attribute ``name`` in torch's own writer, which sets it before it opens the file:
    so no frame of ours is in the traceback of a save that fails.

    Args:
        notes: Where they are noted, as JSON lines ``[path, cell, line]``.
    """

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._seen: set[str] = set()

    def begin(self) -> None:
        """Watch from now on, or from when torch is imported."""
        register_post_import_hook(self._attend, _MODULE)

    def _attend(self, module: ModuleType) -> None:
        writer = getattr(module, _WRITER, None)
        if isinstance(writer, type):  # another torch may do it in another way
            writer.name = self  # type: ignore[attr-defined]

    def __get__(self, writer: Any, owner: type | None = None) -> Any:
        return self if writer is None else writer.__dict__["name"]

    def __set__(self, writer: Any, name: str) -> None:
        writer.__dict__["name"] = name
        with contextlib.suppress(Exception):  # all that it is for is a note
            self._note(os.path.realpath(name), inspect.currentframe())

    def _note(self, path: str, frame: FrameType | None) -> None:
        while frame is not None and frame.f_globals.get("__name__") in (__name__, _MODULE):
            frame = frame.f_back
        if frame is None or not frame.f_code.co_filename.startswith(CELL):
            return  # a library's own save: it knows its ranks
        if path in self._seen or len(self._seen) >= _MOST:
            return
        self._seen.add(path)
        line = dumps([path, frame.f_code.co_filename, frame.f_lineno]) + "\n"
        notes = os.open(self._notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(notes, line.encode())
        finally:
            os.close(notes)
