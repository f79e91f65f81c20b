"""Arrays whose memory is a file's (`numpy.memmap`): every process maps the file itself; both sides.

Nothing of them is copied. Every rank maps copy-on-write, so none of them changes the file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["address", "look_into", "reduce", "reopen"]

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)")


def reduce(obj: Any, np: Any) -> tuple[Any, ...] | None:
    """Write an array by its file, or None where it is not all that file's."""
    if obj.base is None:
        return None
    root = _root(obj, np)
    if root is None or not _is_the_files(root):
        return None
    if obj is root:
        root.flush()
        mode = "r" if root.mode == "r" else "c"
        order = "C" if root.flags.c_contiguous else "F"
        return reopen, (str(root.filename), mode, root.dtype, root.offset, (root.shape, order))
    offset = address(obj) - address(root)
    is_map = type(obj) is np.memmap
    layout = (obj.shape, obj.dtype, offset, obj.strides)
    return look_into, (root, layout, obj.flags.writeable, is_map)


def reopen(file: str, mode: Any, dtype: Any, offset: int, layout: tuple[Any, Any]) -> Any:
    """Open a `numpy.memmap` again."""
    import numpy as np

    shape, order = layout
    return np.memmap(file, dtype=dtype, mode=mode, offset=offset, shape=shape, order=order)


def look_into(
    root: Any,
    layout: tuple[Sequence[int], Any, int, Sequence[int]],
    writable: bool,  # noqa: FBT001 - as it stands in the pickle
    is_map: bool,  # noqa: FBT001
) -> Any:
    """Make an array that looks into a map; all that look into it share it."""
    import numpy as np

    data = np.asarray(root).reshape(-1, order="A").view(np.uint8)
    shape, dtype, offset, strides = layout
    made: Any = np.ndarray(shape, dtype, data, offset, strides)
    if not writable:
        made.flags.writeable = False
    if is_map:
        made = made.view(np.memmap)
        made.__dict__.update(root.__dict__)  # as numpy's own views of a map have it
    return made


def address(array: Any) -> int:
    """Return where an array's first element lies."""
    return array.__array_interface__["data"][0]


def _root(obj: Any, np: Any) -> Any:
    """Return the `numpy.memmap` that an array is, or looks into."""
    while isinstance(obj.base, np.ndarray):
        obj = obj.base
    mapped = isinstance(obj, np.memmap) and isinstance(obj.base, mmap.mmap)
    return obj if mapped and obj.filename and obj.flags.forc else None


def _is_the_files(root: Any) -> bool:
    """Whether the file of that name still holds what is in memory.

    Another may have taken its name meanwhile. What was written into a private map (``mode="c"``)
    is in no file: such pages are counted as anonymous (proc_pid_smaps(5)).
    """
    try:
        inode = os.stat(root.filename).st_ino
    except OSError:
        return False
    private = root.mode == "c"
    begin = address(root)
    found = list(_maps("smaps" if private else "maps", begin, begin + root.nbytes))
    if not found:  # no Linux
        return not private
    return all(at == inode and not changed for at, changed in found)


def _maps(table: str, begin: int, end: int) -> Iterator[tuple[int, bool]]:
    """Yield inode, and whether private pages were written to, of the maps in a range."""
    inode = None
    with contextlib.suppress(OSError):
        for line in Path("/proc/self", table).read_text(errors="replace").splitlines():
            head = _HEAD.match(line)
            if head:
                inside = int(head[1], 16) < end and int(head[2], 16) > begin
                inode = int(head[3]) if inside else None
                if inode is not None and table == "maps":
                    yield inode, False
            elif inode is not None and line.startswith("Anonymous:"):
                yield inode, line.split()[1] != "0"
