"""A worker that prints at full speed: what reaches its log, what it costs, beside plain torchrun.

``python benchmarks/flood.py [LINES]`` (1,000,000 if not given). Rank 0 prints so many lines, under
``torchrun --standalone`` with its output in a file and under ``%%ddp`` with either view. The ways
take turns, so that what else the machine does hits all; `best` is what a quiet machine would show.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from setting import Kernel, command_line, describe, opened, table, times, torchrun

from ddp_magic.processes import marked

PRINT = """
import json, os, time
if os.environ["RANK"] == "0":
    t = time.perf_counter()
    for i in range({lines}):
        print(f"step {{i}} loss 0.12345")
    with open("{place}/took", "w") as f: f.write(str(time.perf_counter() - t))
"""
TURNS = 3


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What one flood came to.

    Attributes:
        way: How it was started.
        wall: Seconds from the start to the end, imports and all.
        printing: Seconds that rank 0 took to print.
        log: All that was kept of rank 0's output.
        rss: The kernel's growth at its highest and afterwards, in bytes.
        cpu: Processor seconds that kernel and guard took.
        iopub: Bytes that the kernel sent to its front-end.
    """

    way: str
    wall: float
    printing: float
    log: bytes
    rss: tuple[int, ...] = (0, 0)
    cpu: tuple[float, ...] = (0.0, 0.0)
    iopub: int = 0


HEADS = (
    "way", "bytes kept", "lines kept", "complete", "s printing", "best", "s in all", "best",
    "kernel MiB, peak", "after", "kernel CPU s", "guard CPU s", "iopub bytes",
)  # fmt: skip


def flood_rows(lines: int, ways: list[list[Flood]]) -> list[tuple[str, ...]]:
    """Return the table's rows, one a way; in brackets how many times as long as the first way."""
    whole = b"".join(b"step %d loss 0.12345\n" % i for i in range(lines))
    rows = [HEADS]
    for turns in ways:
        complete = sum(turn.log == whole for turn in turns)
        last = turns[-1]
        rows.append(
            (
                last.way,
                f"{len(last.log):,}",
                f"{len(last.log.splitlines()):,}",
                f"{complete} of {len(turns)}",
                *times([t.printing for t in turns], [t.printing for t in ways[0]]),
                *times([t.wall for t in turns], [t.wall for t in ways[0]]),
                *(f"{b / 2**20:.1f}" for b in last.rss),
                *(f"{c:.2f}" for c in last.cpu),
                f"{last.iopub:,}",
            )
        )
    return rows


class Wire:
    """Counts what the kernel sends to its front-end."""

    def __init__(self, kernel: Kernel) -> None:
        self._client = kernel.client

    def until_idle(self, request: str) -> int:
        """Take in all that a request makes the kernel send; return the bytes."""
        size = 0
        while True:
            parts = self._client.iopub_channel.socket.recv_multipart()
            size += sum(map(len, parts))
            _, parts = self._client.session.feed_identities(parts)
            message: dict[str, Any] = self._client.session.deserialize(parts)
            mine = message["parent_header"].get("msg_id") == request
            if mine and message["content"].get("execution_state") == "idle":
                return size


class Memory:
    """The kernel's memory while a cell runs.

    Attributes:
        peak: The highest, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.before = self.peak = self.now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def now(self) -> int:
        """Return what it takes now."""
        return self._process.memory_info().rss

    def end(self) -> tuple[int, int]:
        """Return by how much it grew at most, and by how much for good."""
        self._over.set()
        self._thread.join()
        return self.peak - self.before, self.now() - self.before

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self.now())


def flood_torchrun(lines: int) -> Flood:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        wall, log = torchrun(PRINT.format(lines=lines, place=place), place)
        return Flood(
            way="torchrun > file", wall=wall, printing=float((place / "took").read_text()), log=log
        )


def flood_ddp(lines: int, ui: str) -> Flood:
    with opened() as (kernel, tmp):
        kernel.run(f"%%ddp --nproc 1 --ui {ui}\n1")  # the view's imports are not the flood's
        memory = Memory(kernel.pid)
        spent = sum(psutil.Process(kernel.pid).cpu_times()[:2])
        began = time.monotonic()
        code = PRINT.format(lines=lines, place=tmp.parent)
        request = kernel.start(f"%%ddp --nproc 2 --ui {ui}\n{code}")
        size = Wire(kernel).until_idle(request)
        wall = time.monotonic() - began
        guard = next(p for p in marked(tmp) if "guard/__main__.py" in command_line(p))
        cpu = [sum(psutil.Process(pid).cpu_times()[:2]) for pid in (kernel.pid, guard)]
        # its number depends on how many groups of workers have waited: it has the most to read
        runs = [[*place.glob("rank0.stdout*.log")] for place in tmp.glob("ddp_magic-*/run-*/logs")]
        logs = max(runs, key=lambda found: sum(path.stat().st_size for path in found))
        logs.sort(key=lambda path: int("0" + path.name.split(".")[2].removesuffix("log")))
        return Flood(
            way=f"%%ddp --ui {ui}",
            wall=wall,
            printing=float((tmp.parent / "took").read_text()),
            log=b"".join(path.read_bytes() for path in logs),
            rss=memory.end(),
            cpu=(cpu[0] - spent, cpu[1]),
            iopub=size,
        )


def main(lines: int) -> None:
    """Run everything."""
    describe()
    ways: list[list[Flood]] = [[], [], []]
    for _ in range(TURNS):
        ways[0].append(flood_torchrun(lines))
        ways[1].append(flood_ddp(lines, "plain"))
        ways[2].append(flood_ddp(lines, "widget"))
    print(f"rank 0 of 2 prints {lines:,} lines, {TURNS} times; against torchrun")
    table(flood_rows(lines, ways))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
