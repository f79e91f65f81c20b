"""A big tensor of the notebook in four ranks: how much memory, and how long until it is there.

A cell of a real shell runs on 4 workers, each of which reads all of the tensor and tells how much
of its map counts for it (PSS in /proc/PID/smaps: a page's size over the number of processes that
map it). "write" is what %%ddp takes to write it, "copy" what `shutil.copyfile` takes to copy a file
of that size within the same directory, one after the other in turns.

    python benchmarks/big_values.py [MEBIBYTES] [--place DIRECTORY]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from setting import describe, placed, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["main"]

RANKS = 4
ROUNDS = 5
CELL = f"""%%ddp --nproc {RANKS} --ui plain -o shares
import re, torch.distributed as dist
dist.init_process_group("gloo")
def share(address):
    for part in re.split(r"\\n(?=[0-9a-f]+-)", open("/proc/self/smaps").read()):
        low, high = (int(n, 16) for n in part.split(" ")[0].split("-"))
        if low <= address < high:
            return int(re.search(r"Pss: +(\\d+)", part)[1]) << 10
assert int(X[::1024].sum()) == len(X[::1024])
dist.barrier()
own = torch.tensor([share(X.data_ptr())])
found = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
dist.all_gather(found, own)
shares = [int(one) for one in found]
"""


@contextlib.contextmanager
def notebook() -> Iterator[InteractiveShell]:
    """Yield a real shell with the extension."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "ddp_magic")
    try:
        yield shell
    finally:
        shell.run_line_magic("unload_ext", "ddp_magic")
        InteractiveShell.clear_instance()


def shares(nbytes: int) -> tuple[list[int], int]:
    """Return each rank's share of the tensor, and by how much the kernel grew meanwhile."""
    with notebook() as shell:
        shell.run_cell(f"import torch\nX = torch.ones({nbytes // 4})").raise_error()
        before = _own_memory()
        with contextlib.redirect_stderr(io.StringIO()) as said:
            shell.run_cell(CELL).raise_error()
        grown = _own_memory() - before
        print("\n".join(line for line in said.getvalue().splitlines() if "sent" in line))
        return shell.user_ns["shares"], grown


def _own_memory() -> int:
    """Return how much memory this process had at most, without files that it maps."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def times(nbytes: int, place: Path) -> tuple[list[float], list[float]]:
    """Return seconds of writing and of copying, in turns, in a directory below `place`."""
    import torch

    from ddp_magic.pickling import BlobWriter, Draft, Pickler, Sender
    from ddp_magic.rundir import RunDir

    tensor = torch.ones(nbytes // 4)
    written: list[float] = []
    copied: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=place) as name:
            run = RunDir.create(Path(name) / "run-1")
            began = time.monotonic()
            blobs = BlobWriter(run, run.blobs)
            pickler = Pickler(Draft(), Sender(main={}, blobs=blobs))
            pickler.dump(tensor)
            blobs.keep(pickler.parts)
            blobs.close()
            written.append(time.monotonic() - began)
            began = time.monotonic()
            shutil.copyfile(run.blobs / "0.bin", run.path / "copy")
            copied.append(time.monotonic() - began)
    return written, copied


def main(mebibytes: int = 1024, place: Path | None = None) -> dict[str, float]:
    """Measure and print; return ``pss`` (over the tensor's size) and ``write`` (over a copy)."""
    nbytes = mebibytes << 20
    found, grown = shares(nbytes)
    heads = ("tensor", "ranks", "PSS of each", "PSS of all / tensor", "kernel grew by")
    each = ", ".join(f"{share / nbytes:.3f}" for share in found)
    row = (f"{mebibytes} MiB", f"{RANKS}", each, f"{sum(found) / nbytes:.3f}", f"{grown >> 20} MiB")
    table([heads, row])
    shm = Path("/dev/shm")
    places = [place] if place else [Path(tempfile.gettempdir()), *([shm] if shm.is_dir() else [])]
    rows = [("place", "write s", "copy s", "write / copy, median", "best")]
    ratios: list[float] = []
    for where in places:
        written, copied = times(nbytes, where)
        pairs = [pick(written) / pick(copied) for pick in (statistics.median, min)]
        ratios.append(pairs[0])
        timed = (f"{statistics.median(written):.2f}", f"{statistics.median(copied):.2f}")
        rows.append((str(where), *timed, *(f"{ratio:.2f}" for ratio in pairs)))
    table(rows)
    return {"pss": sum(found) / nbytes, "write": max(ratios)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mebibytes", type=int, nargs="?", default=1024)
    parser.add_argument("--place", type=Path)
    line = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    describe()
    with placed():
        result = main(line.mebibytes, line.place)
    sys.exit(result["pss"] > 1.1 or result["write"] > 1.3)
