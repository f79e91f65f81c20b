"""The names of everything in a run's directory; the only place that knows them.

Imported by the kernel, the guard and the workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunPaths"]


@dataclass(frozen=True)
class RunPaths:
    """The paths of one run.

    Attributes:
        path: The run's directory, 0700.
    """

    path: Path

    @property
    def run_id(self) -> str:
        """The run's name within its kernel, as ``run-3``."""
        return self.path.name

    @property
    def main(self) -> Path:
        """The generated DDP module."""
        return self.path / "main.py"

    @property
    def body(self) -> Path:
        """The cell's body, as it stands in the cell."""
        return self.path / "body.py"

    @property
    def source_map(self) -> Path:
        """`SourceMap` as JSON."""
        return self.path / "sourcemap.json"

    @property
    def program(self) -> Path:
        """What a worker sets up around the module (JSON, written by `script`)."""
        return self.path / "program.json"

    @property
    def values(self) -> Path:
        """Values of the notebook, pickled."""
        return self.path / "values.pkl"

    @property
    def blobs(self) -> Path:
        """Directory of memory that `values` refer to; a link where that lies elsewhere."""
        return self.path / "blobs"

    @property
    def job(self) -> Path:
        """What a worker does besides running the module (JSON, written by `launch`)."""
        return self.path / "job.json"

    @property
    def spec(self) -> Path:
        """What the guard starts (JSON, written by `launch`)."""
        return self.path / "spec.json"

    @property
    def news(self) -> Path:
        """FIFO on which agent and workers tell the guard, one JSON line (< 4096 bytes) a write."""
        return self.path / "news"

    @property
    def events(self) -> Path:
        """The guard's account of the run, JSON lines."""
        return self.path / "events.jsonl"

    @property
    def logs(self) -> Path:
        """Directory of the ranks' capped logs; outlives the run."""
        return self.path / "logs"

    @property
    def results(self) -> Path:
        """Directory of what rank 0 brings back."""
        return self.path / "results"

    @property
    def scratch(self) -> Path:
        """Directory for torch's own log directory and error files."""
        return self.path / "elastic"

    def pipe(self, rank: int, stream: str) -> Path:
        """FIFO that a worker writes its stdout or stderr to."""
        return self.path / f"rank{rank}.{stream}"

    def log(self, rank: int, stream: str, segment: int = 0) -> Path:
        """One segment of a rank's log; 0 is the first and in most runs the only one."""
        part = f".{segment}" if segment else ""
        return self.logs / f"rank{rank}.{stream}{part}.log"

    def metrics(self, rank: int) -> Path:
        """What a rank reported by `ddp_magic.log`: a JSON line ``[time, step, values]`` each."""
        return self.logs / f"rank{rank}.metrics.jsonl"

    def displays(self, segment: int = 0) -> Path:
        """What rank 0 displays, a line each: ``[time, kind, id, cut, lost]``, a tab, the bundle.

        In most runs there is one file; in others those go first that the kernel has read.
        """
        part = f".{segment}" if segment else ""
        return self.logs / f"displays{part}.jsonl"

    @property
    def flights(self) -> Path:
        """What the names of torch's flight recorders begin with; the rank follows."""
        return self.logs / "collectives.rank"

    def flight(self, rank: int) -> Path:
        """What a rank's flight recorder wrote (a pickle of plain containers, see `recorder`)."""
        return self.logs / f"collectives.rank{rank}"

    @property
    def flight_pipes(self) -> Path:
        """What the names of the FIFOs begin with that have a flight recorder written."""
        return self.path / "collectives.rank"

    def flight_pipe(self, rank: int) -> Path:
        """FIFO that torch makes and reads: something in it has the rank's recorder written."""
        return self.path / f"collectives.rank{rank}.pipe"

    def hand_over(self, rank: int) -> Path:
        """FIFO on which the kernel speaks to a rank of a standby."""
        return self.path / f"job.{rank}"

    def imported(self, when: str) -> Path:
        """What rank 0 imported (JSON): ``ahead`` of its job, ``later``, ``late`` in its body."""
        return self.path / f"imported_{when}.json"

    def error(self, rank: int, attempt: int) -> Path:
        """What a failing worker tells (JSON)."""
        return self.path / f"error.{attempt}.{rank}.json"

    def over(self, attempt: int) -> Path:
        """Is there once rank 0 has saved what comes back."""
        return self.path / f"over.{attempt}"

    def saves(self, rank: int, attempt: int) -> Path:
        """Which files a rank's notebook code saved: a JSON line ``[path, cell, line]`` each."""
        return self.path / f"saves.{attempt}.{rank}.jsonl"

    def stacks(self, rank: int) -> Path:
        """Where faulthandler writes the stacks of a rank on `rundir.STACKS_SIGNAL`."""
        return self.path / f"stacks.{rank}.txt"
